-- Delete what is known of the instruments that $renewed lists.
-- Tables: $renewed.
DELETE FROM `market_data.instruments` AS instruments
WHERE EXISTS (
  SELECT 1 FROM `$renewed` AS renewed
  WHERE renewed.dataset = instruments.dataset
    AND renewed.instrument_id = instruments.instrument_id
)

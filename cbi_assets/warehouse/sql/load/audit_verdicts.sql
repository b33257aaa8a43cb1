-- Classify staged bars whose key (symbol, ts_event) occurs more than once, staged or published.
-- The published bar wins, else the first one read. One row per staged bar, with verdict:
--   publish    first of its key, none published yet     duplicate  equal to the winner
--   conflict   differs in a price, volume or instrument_id
--   own        already published from this same file, re-read after an unload reopened it
-- Reads $landed, $todo, $repeated, $rejected, $table. Parameters: @first_ts, @last_ts, @roots.
WITH ranked AS (
  SELECT
    landed.file_no, landed.record_no, todo.source_file_id, landed.root, landed.symbol,
    landed.ts_event, landed.open, landed.high, landed.low, landed.close, landed.volume,
    landed.instrument_id,
    ROW_NUMBER() OVER (
      PARTITION BY landed.symbol, landed.ts_event ORDER BY landed.file_no, landed.record_no
    ) AS place,
    ROW_NUMBER() OVER (
      PARTITION BY landed.symbol, landed.ts_event, landed.file_no ORDER BY landed.record_no
    ) AS place_in_file
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  JOIN `$repeated` AS repeated
    ON landed.symbol = repeated.symbol AND landed.ts_event = repeated.ts_event
  LEFT JOIN `$rejected` AS rejected
    ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
  WHERE rejected.reason IS NULL
),
published AS (
  SELECT
    bars.symbol, bars.ts_event, bars.open, bars.high, bars.low, bars.close, bars.volume,
    bars.instrument_id, bars.source_file_id
  FROM `$table` AS bars
  JOIN `$repeated` AS repeated
    ON bars.symbol = repeated.symbol AND bars.ts_event = repeated.ts_event
  WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
    AND bars.root IN UNNEST(@roots)
),
winners AS (
  SELECT published.*, TRUE AS is_published FROM published
  UNION ALL
  SELECT
    ranked.symbol, ranked.ts_event, ranked.open, ranked.high, ranked.low, ranked.close,
    ranked.volume, ranked.instrument_id, ranked.source_file_id, FALSE AS is_published
  FROM ranked
  LEFT JOIN published
    ON ranked.symbol = published.symbol AND ranked.ts_event = published.ts_event
  WHERE ranked.place = 1 AND published.symbol IS NULL
)
SELECT
  ranked.file_no, ranked.record_no, ranked.source_file_id, ranked.root, ranked.symbol,
  ranked.ts_event, ranked.open, ranked.high, ranked.low, ranked.close, ranked.volume,
  ranked.instrument_id,
  winners.source_file_id AS winner_file_id,
  winners.open AS winner_open, winners.high AS winner_high, winners.low AS winner_low,
  winners.close AS winner_close, winners.volume AS winner_volume,
  winners.instrument_id AS winner_instrument_id,
  CASE
    WHEN NOT (
      ranked.open = winners.open AND ranked.high = winners.high AND ranked.low = winners.low
      AND ranked.close = winners.close AND ranked.volume = winners.volume
      AND ranked.instrument_id = winners.instrument_id
    ) THEN 'conflict'
    WHEN winners.is_published AND winners.source_file_id = ranked.source_file_id
      AND ranked.place_in_file = 1 THEN 'own'
    WHEN NOT winners.is_published AND ranked.place = 1 THEN 'publish'
    ELSE 'duplicate'
  END AS verdict
FROM ranked
JOIN winners ON ranked.symbol = winners.symbol AND ranked.ts_event = winners.ts_event

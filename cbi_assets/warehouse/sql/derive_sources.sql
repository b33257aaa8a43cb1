-- What each symbol's trade dates hold of the bars that others are made of: how many, their volume
-- and their loads. Outrights and continuous symbols of rank 0.
SELECT
  root, symbol, trade_date, COUNT(*) AS bars, SUM(volume) AS volume,
  STRING_AGG(DISTINCT load_id, ' ' ORDER BY load_id) AS loads
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date

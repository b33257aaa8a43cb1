-- What a raw table holds of each symbol and trade date. Published bars never change in place, so the
-- loads and the count say whether a session is the one that was built from.
SELECT
  root, symbol, trade_date, '$timeframe' AS built_from, COUNT(*) AS bars, SUM(volume) AS volume,
  ARRAY_AGG(DISTINCT load_id) AS load_ids
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND trade_date <= @until
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date
-- A file ends at midnight UTC, in the middle of the next trade date's session: what has no bar of the
-- trade date's own UTC day is the evening before it alone, and no session yet.
HAVING DATE(MAX(ts_event)) >= trade_date

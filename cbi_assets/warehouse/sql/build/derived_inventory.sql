-- Sum a derived table's volume for each session, by the loads of its bars (`loads`, sorted, separated
-- by spaces). One row per root, symbol, trade date, source timeframe and list of loads.
-- Reads $derived. Parameters: @roots.
SELECT
  root, symbol, trade_date, built_from, ARRAY_TO_STRING(load_ids, ' ') AS loads,
  SUM(volume) AS volume
FROM `$derived`
WHERE root IN UNNEST(@roots)
GROUP BY root, symbol, trade_date, built_from, loads

-- Sum a derived table's volume for each session, by the loads of its bars (`loads`, sorted, separated
-- by spaces). One row per root, symbol, trade date, source timeframe and list of loads.
-- Reads $derived. Parameters: @roots, @first, @last, @first_ts, @last_ts.
SELECT
  '$derived' AS table_id, root, symbol, trade_date, built_from,
  ARRAY_TO_STRING(load_ids, ' ') AS loads, SUM(volume) AS volume,
  ANY_VALUE(contract HAVING MAX ts_event) AS contract, MAX(ts_event) AS last_ts
FROM `$derived`
WHERE root IN UNNEST(@roots)
  AND trade_date BETWEEN @first AND @last
  AND ts_event BETWEEN @first_ts AND @last_ts
GROUP BY root, symbol, trade_date, built_from, loads

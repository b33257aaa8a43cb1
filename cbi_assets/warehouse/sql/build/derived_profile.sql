-- Profile a derived table: rows, symbols, source timeframes and range. One row per root.
-- Reads $table. Parameters: @roots.
SELECT
  root, COUNT(*) AS row_count, COUNT(DISTINCT symbol) AS symbols,
  COUNTIF(built_from = '1m') AS from_minutes, COUNTIF(built_from = '1h') AS from_hours,
  MIN(ts_event) AS first_ts_event, MAX(ts_event) AS last_ts_event,
  MIN(trade_date) AS first_trade_date, MAX(trade_date) AS last_trade_date
FROM `$table`
WHERE root IN UNNEST(@roots)
GROUP BY root
ORDER BY root

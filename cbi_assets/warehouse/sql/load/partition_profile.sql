-- Profile the bars of each root: rows, symbols, files and range. One row per root.
-- Reads $table. Parameters: @roots.
SELECT
  root, COUNT(*) AS row_count, COUNT(DISTINCT symbol) AS symbols, COUNT(DISTINCT source_file_id) AS files,
  MIN(ts_event) AS first_ts_event, MAX(ts_event) AS last_ts_event,
  MIN(trade_date) AS first_trade_date, MAX(trade_date) AS last_trade_date
FROM `$table`
WHERE root IN UNNEST(@roots)
GROUP BY root
ORDER BY root

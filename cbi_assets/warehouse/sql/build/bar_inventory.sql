-- Count a raw table's bars for each session, by load: outrights and continuous symbols of rank 0.
-- One row per symbol, trade date and load; volume in contracts. `reaches_its_day` is FALSE if all
-- bars are of the evening before the trade date.
-- Reads $timeframe, $table. Parameters: @roots, @until.
SELECT
  root, symbol, trade_date, '$timeframe' AS built_from, load_id,
  COUNT(*) AS bars, SUM(volume) AS volume, DATE(MAX(ts_event)) >= trade_date AS reaches_its_day
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND trade_date <= @until
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date, load_id

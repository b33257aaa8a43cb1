-- Count the bars of each series by trade date and UTC day. A root's outrights are one series, each
-- continuous symbol is another. Parameter: @dataset.
SELECT
  root, IF(kind = 'outright', kind, symbol) AS series, trade_date, DATE(ts_event) AS utc_day,
  COUNT(*) AS bars
FROM `$table`
WHERE kind IN ('outright', 'continuous') AND dataset = @dataset
GROUP BY root, series, trade_date, utc_day
ORDER BY root, series, trade_date, utc_day

-- The UTC days on which each series has bars, by trade date; outrights of a root are one series.
SELECT
  root, IF(kind = 'outright', kind, symbol) AS series, trade_date, DATE(ts_event) AS utc_day,
  COUNT(*) AS bars
FROM `$table`
WHERE kind IN ('outright', 'continuous') AND dataset = @dataset
GROUP BY root, series, trade_date, utc_day
ORDER BY root, series, trade_date, utc_day

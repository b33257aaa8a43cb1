-- Count the published bars of each series by trade date and UTC day. A root's outrights are one
-- series (`outright`), each continuous symbol is another.
-- One row per root, series, trade date and UTC day. Reads $table (a raw table). Parameter: @datasets.
SELECT
  root, IF(kind = 'outright', kind, symbol) AS series, trade_date, DATE(ts_event) AS utc_day,
  COUNT(*) AS bars
FROM `$table`
WHERE kind IN ('outright', 'continuous') AND dataset IN UNNEST(@datasets)
GROUP BY root, series, trade_date, utc_day
ORDER BY root, series, trade_date, utc_day

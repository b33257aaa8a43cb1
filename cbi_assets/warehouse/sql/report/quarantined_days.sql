-- UTC days of quarantined records. One row per timeframe, root and day.
SELECT DISTINCT timeframe, root, CAST(ts_event AS DATE) AS utc_day
FROM `ops.quarantined_bars`
WHERE ts_event IS NOT NULL AND root != ''

-- The UTC days on which records of a root were set aside, for bars that are missing there.
SELECT DISTINCT timeframe, root, CAST(ts_event AS DATE) AS utc_day
FROM `ops.quarantined_bars`
WHERE ts_event IS NOT NULL AND root != ''

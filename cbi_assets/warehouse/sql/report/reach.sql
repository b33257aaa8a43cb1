-- The UTC days from first to last record of each loaded file, by root and timeframe.
SELECT DISTINCT
  timeframe, root, CAST(first_ts_event AS DATE) AS first_day, CAST(last_ts_event AS DATE) AS last_day
FROM `ops.loads`
WHERE first_ts_event IS NOT NULL AND root != ''

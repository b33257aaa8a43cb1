-- UTC days of the first and last record in each loaded file. One row per timeframe, root and range.
SELECT DISTINCT
  timeframe, root, CAST(first_ts_event AS DATE) AS first_day, CAST(last_ts_event AS DATE) AS last_day
FROM `ops.loads`
WHERE first_ts_event IS NOT NULL AND root != ''

-- Select symbols and start times that more than one bar has. One row per symbol and start time;
-- `offenders` counts those of the root's month.
-- Reads $table. Parameters: roots, first, end.
SELECT
  root, DATE_TRUNC(DATE(ts_event), MONTH) AS month, symbol, ts_event, COUNT(*) AS copies,
  COUNT(*) OVER (PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH)) AS offenders
FROM `$table`
WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
GROUP BY root, symbol, ts_event
HAVING COUNT(*) > 1
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH) ORDER BY symbol, ts_event
) <= 20

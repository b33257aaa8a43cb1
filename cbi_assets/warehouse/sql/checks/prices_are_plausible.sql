-- Select bars whose close is less than two thirds or more than one and a half times that of the
-- bar before, at most 31 days earlier, of the same contract or continuous symbol. One row per bar;
-- `offenders` counts those of the root's month.
-- Reads $table. Parameters: roots, before (31 days before first), first, end.
WITH steps AS (
  SELECT
    root, symbol, ts_event, close,
    LAG(close) OVER (PARTITION BY root, COALESCE(contract, symbol) ORDER BY ts_event) AS previous_close,
    LAG(ts_event) OVER (PARTITION BY root, COALESCE(contract, symbol) ORDER BY ts_event) AS previous_ts
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND kind IN ('outright', 'continuous')
    AND ts_event >= @before AND ts_event < @end
)
SELECT
  root, DATE_TRUNC(DATE(ts_event), MONTH) AS month, symbol, ts_event, close, previous_close,
  previous_ts,
  COUNT(*) OVER (PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH)) AS offenders
FROM steps
WHERE ts_event >= @first AND TIMESTAMP_DIFF(ts_event, previous_ts, DAY) <= 31
  AND (
    3 * close * SIGN(previous_close) < 2 * ABS(previous_close)
    OR 2 * close * SIGN(previous_close) > 3 * ABS(previous_close)
  )
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH) ORDER BY symbol, ts_event
) <= 20

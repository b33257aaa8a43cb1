-- Select bars whose close is less than two thirds or more than one and a half times that of the
-- bar before, at most 31 days earlier, of the same contract or continuous symbol. One row per bar;
-- `offenders` counts those of the root's month.
-- Sorting all bars costs most: only those of days are sorted whose closes, with those of the day
-- before that has bars, are further apart than that.
-- Reads $table. Parameters: roots, before (31 days before first), first, end.
WITH days AS (
  SELECT
    root, COALESCE(contract, symbol) AS series, DIV(UNIX_MICROS(ts_event), 86400000000) AS day,
    MIN(close) AS lowest, MAX(close) AS highest
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND kind IN ('outright', 'continuous')
    AND ts_event >= @before AND ts_event < @end
  GROUP BY root, COALESCE(contract, symbol), DIV(UNIX_MICROS(ts_event), 86400000000)
),
neighbors AS (
  SELECT
    root, series, day, lowest, highest,
    COALESCE(LAG(day) OVER (PARTITION BY root, series ORDER BY day), day) AS day_before,
    COALESCE(LAG(lowest) OVER (PARTITION BY root, series ORDER BY day), lowest) AS lowest_before,
    COALESCE(LAG(highest) OVER (PARTITION BY root, series ORDER BY day), highest) AS highest_before
  FROM days
),
far_apart AS (
  SELECT root, series, day, day_before
  FROM neighbors
  WHERE NOT (
    lowest > 0 AND lowest_before > 0
    AND 2 * GREATEST(highest, highest_before) <= 3 * LEAST(lowest, lowest_before)
  )
),
read_days AS (
  SELECT root, series, day FROM far_apart
  UNION DISTINCT
  SELECT root, series, day_before AS day FROM far_apart
),
steps AS (
  SELECT
    bars.root, bars.symbol, bars.ts_event, bars.close, read_days.series, read_days.day,
    LAG(bars.close) OVER (PARTITION BY bars.root, read_days.series ORDER BY bars.ts_event) AS previous_close,
    LAG(bars.ts_event) OVER (PARTITION BY bars.root, read_days.series ORDER BY bars.ts_event) AS previous_ts
  FROM `$table` AS bars
  JOIN read_days
    ON bars.root = read_days.root AND COALESCE(bars.contract, bars.symbol) = read_days.series
      AND DIV(UNIX_MICROS(bars.ts_event), 86400000000) = read_days.day
  WHERE bars.root IN UNNEST(@roots) AND bars.kind IN ('outright', 'continuous')
    AND bars.ts_event >= @before AND bars.ts_event < @end
)
SELECT
  steps.root, DATE_TRUNC(DATE(steps.ts_event), MONTH) AS month, steps.symbol, steps.ts_event, steps.close, steps.previous_close,
  steps.previous_ts,
  COUNT(*) OVER (PARTITION BY steps.root, DATE_TRUNC(DATE(steps.ts_event), MONTH)) AS offenders
FROM steps
JOIN far_apart
  ON steps.root = far_apart.root AND steps.series = far_apart.series AND steps.day = far_apart.day
WHERE steps.ts_event >= @first AND TIMESTAMP_DIFF(steps.ts_event, steps.previous_ts, DAY) <= 31
  AND (
    3 * steps.close * SIGN(steps.previous_close) < 2 * ABS(steps.previous_close)
    OR 2 * steps.close * SIGN(steps.previous_close) > 3 * ABS(steps.previous_close)
  )
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY steps.root, DATE_TRUNC(DATE(steps.ts_event), MONTH) ORDER BY steps.symbol, steps.ts_event
) <= 20

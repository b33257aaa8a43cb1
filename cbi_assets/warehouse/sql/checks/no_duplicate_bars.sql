-- Select symbols and start times that more than one bar has. One row per symbol and start time;
-- `offenders` counts those of the root's month.
-- A bit for each start time counts those of 60 steps at a fraction of what grouping by them costs;
-- only where there are fewer than bars are they grouped.
-- Reads $table. Parameters: micros, roots, first, end.
WITH crowded AS (
  SELECT root, symbol, DIV(DIV(UNIX_MICROS(ts_event), @micros), 60) AS block
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  GROUP BY root, symbol, DIV(DIV(UNIX_MICROS(ts_event), @micros), 60)
  HAVING COUNT(*) > BIT_COUNT(BIT_OR(1 << ABS(MOD(DIV(UNIX_MICROS(ts_event), @micros), 60))))
)
SELECT
  bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) AS month, bars.symbol, bars.ts_event, COUNT(*) AS copies,
  COUNT(*) OVER (PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH)) AS offenders
FROM `$table` AS bars
JOIN crowded
  ON bars.root = crowded.root AND bars.symbol = crowded.symbol
    AND DIV(DIV(UNIX_MICROS(bars.ts_event), @micros), 60) = crowded.block
WHERE bars.root IN UNNEST(@roots) AND bars.ts_event >= @first AND bars.ts_event < @end
GROUP BY bars.root, bars.symbol, bars.ts_event
HAVING COUNT(*) > 1
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) ORDER BY bars.symbol, bars.ts_event
) <= 20

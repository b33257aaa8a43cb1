-- Select bars that do not start where a bar of this timeframe does, or whose file has another
-- schema. One row per bar; `offenders` counts those of the root's month.
-- Reads $table, ops.source_files. Parameters: timeframe, micros, roots, first, end.
SELECT
  bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) AS month, bars.symbol, bars.ts_event,
  files.schema,
  COUNT(*) OVER (PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH)) AS offenders
FROM `$table` AS bars
LEFT JOIN `ops.source_files` AS files ON bars.source_file_id = files.id
WHERE bars.root IN UNNEST(@roots) AND bars.ts_event >= @first AND bars.ts_event < @end
  AND (
    MOD(UNIX_MICROS(bars.ts_event), @micros) <> 0
    OR files.schema <> CONCAT('ohlcv-', @timeframe)
  )
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) ORDER BY bars.symbol, bars.ts_event
) <= 20

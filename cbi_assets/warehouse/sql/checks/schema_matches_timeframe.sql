-- Select bars that do not start where a bar of this timeframe does, or whose file has another
-- schema.
-- Reads $table, ops.source_files. Parameters: timeframe, micros, roots.
SELECT
  bars.root, bars.symbol, bars.ts_event, files.schema,
  COUNT(*) OVER (PARTITION BY bars.root) AS offenders
FROM `$table` AS bars
LEFT JOIN `ops.source_files` AS files ON bars.source_file_id = files.id
WHERE bars.root IN UNNEST(@roots)
  AND (
    MOD(UNIX_MICROS(bars.ts_event), @micros) <> 0
    OR files.schema <> CONCAT('ohlcv-', @timeframe)
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.root ORDER BY bars.symbol, bars.ts_event) <= 20

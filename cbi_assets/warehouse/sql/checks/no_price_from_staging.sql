-- Observations of no allowed series or of an unknown file, and raw bars that come from staging.
WITH faults AS (
  SELECT
    held.series_id, held.source, CAST(held.reference_date AS STRING) AS day,
    'this source may not give this series' AS fault
  FROM `$table` AS held
  LEFT JOIN `$allowed` AS allowed
    ON allowed.source = held.source AND allowed.series_id = held.series_id
  WHERE allowed.series_id IS NULL
  UNION ALL
  SELECT
    held.series_id, held.source, CAST(held.reference_date AS STRING) AS day,
    'the books of staging do not know its file' AS fault
  FROM `$table` AS held
  LEFT JOIN (SELECT DISTINCT files.file_id FROM `ops.staging_files` AS files) AS known
    ON known.file_id = held.source_file_id
  WHERE known.file_id IS NULL
  UNION ALL
  SELECT bars.symbol AS series_id, bars.dataset AS source, CAST(bars.trade_date AS STRING) AS day,
    'a raw bar comes from a staging file' AS fault
  FROM (
    SELECT symbol, dataset, trade_date, source_file_id FROM `$raw_1d`
    UNION ALL
    SELECT symbol, dataset, trade_date, source_file_id FROM `$raw_1h`
    UNION ALL
    SELECT symbol, dataset, trade_date, source_file_id FROM `$raw_1m`
  ) AS bars
  JOIN (SELECT DISTINCT files.file_id FROM `ops.staging_files` AS files) AS known
    ON known.file_id = bars.source_file_id
)
SELECT '' AS root, series_id, source, day, fault, COUNT(*) OVER () AS offenders
FROM faults
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (ORDER BY series_id, day, fault) <= 20

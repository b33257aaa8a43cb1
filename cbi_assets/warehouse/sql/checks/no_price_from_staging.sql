-- Select observations of a series that their source may not give, or of an unknown file, and raw
-- bars that come from staging. One row per observation or bar.
-- Reads $table, $allowed, $raw_1d, $raw_1h, $raw_1m.
WITH problems AS (
  SELECT
    stored.series_id, stored.source, CAST(stored.reference_date AS STRING) AS day,
    'this source may not give this series' AS problem
  FROM `$table` AS stored
  LEFT JOIN `$allowed` AS allowed
    ON allowed.source = stored.source AND allowed.series_id = stored.series_id
  WHERE allowed.series_id IS NULL
  UNION ALL
  SELECT
    stored.series_id, stored.source, CAST(stored.reference_date AS STRING) AS day,
    'its file is not in ops.staging_files' AS problem
  FROM `$table` AS stored
  LEFT JOIN (SELECT DISTINCT files.file_id FROM `ops.staging_files` AS files) AS known
    ON known.file_id = stored.source_file_id
  WHERE known.file_id IS NULL
  UNION ALL
  SELECT bars.symbol AS series_id, bars.dataset AS source, CAST(bars.trade_date AS STRING) AS day,
    'a raw bar comes from a staging file' AS problem
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
SELECT '' AS root, series_id, source, day, problem, COUNT(*) OVER () AS offenders
FROM problems
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (ORDER BY series_id, day, problem) <= 20

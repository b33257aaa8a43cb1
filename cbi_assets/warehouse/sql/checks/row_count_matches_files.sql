-- Compare the bars of each file in the table with those that the ledger says it published. One row
-- per root. Reads $files (bars by root, dataset and file), $loads. Parameters: timeframe, roots.
WITH recorded AS (
  SELECT root, source_file_id, SUM(published) AS bars
  FROM `$loads`
  WHERE timeframe = @timeframe AND root IN UNNEST(@roots)
  GROUP BY root, source_file_id
),
stored AS (
  SELECT root, source_file_id, SUM(bars) AS bars
  FROM $files AS counted
  WHERE root IN UNNEST(@roots)
  GROUP BY root, source_file_id
),
files AS (
  SELECT
    COALESCE(stored.root, recorded.root) AS root,
    COALESCE(stored.source_file_id, recorded.source_file_id) AS source_file_id,
    COALESCE(stored.bars, 0) AS stored_bars,
    COALESCE(recorded.bars, 0) AS recorded_bars
  FROM stored
  FULL OUTER JOIN recorded
    ON stored.root = recorded.root AND stored.source_file_id = recorded.source_file_id
)
SELECT
  files.root,
  SUM(ABS(files.stored_bars - files.recorded_bars)) AS offenders,
  CONCAT(CAST(SUM(files.recorded_bars) AS STRING), ' bars (ops.loads)') AS expected,
  CONCAT(
    CAST(SUM(files.stored_bars) AS STRING), ' bars',
    CASE COUNTIF(files.stored_bars <> files.recorded_bars)
      WHEN 0 THEN ''
      WHEN 1 THEN ' (1 file differs)'
      ELSE CONCAT(
        ' (', CAST(COUNTIF(files.stored_bars <> files.recorded_bars) AS STRING), ' files differ)'
      )
    END
  ) AS actual,
  MIN(
    IF(files.stored_bars <> files.recorded_bars, files.source_file_id, NULL)
  ) AS first_file_that_differs
FROM files
GROUP BY files.root

-- Select files whose bars are of a dataset that may not be published, or that the ledger does not
-- know. One row per file and dataset; `offenders` counts bars.
-- Reads $table, ops.source_files. Parameters: roots, datasets.
SELECT
  stored.root, stored.dataset, stored.source_file_id, stored.bars,
  SUM(stored.bars) OVER (PARTITION BY stored.root) AS offenders
FROM (
  SELECT root, dataset, source_file_id, COUNT(*) AS bars
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, dataset, source_file_id
) AS stored
LEFT JOIN `ops.source_files` AS files ON stored.source_file_id = files.id
WHERE stored.dataset NOT IN UNNEST(@datasets) OR files.id IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY stored.root ORDER BY stored.source_file_id) <= 20

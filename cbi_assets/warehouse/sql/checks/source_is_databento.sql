-- Bars of a dataset that may not be published, or that no file in the books accounts for.
SELECT
  held.root, held.dataset, held.source_file_id, held.bars,
  SUM(held.bars) OVER (PARTITION BY held.root) AS offenders
FROM (
  SELECT root, dataset, source_file_id, COUNT(*) AS bars
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, dataset, source_file_id
) AS held
LEFT JOIN `ops.source_files` AS files ON held.source_file_id = files.id
WHERE held.dataset NOT IN UNNEST(@datasets) OR files.id IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY held.root ORDER BY held.source_file_id) <= 20

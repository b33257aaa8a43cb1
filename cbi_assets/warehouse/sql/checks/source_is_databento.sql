-- Select files whose bars are of a dataset that may not be published, that the ledger does not know,
-- or that the drive has since denied: their manifest or their path has other bytes now. One row per
-- file and dataset; `offenders` counts bars, `remedy` is of denied files.
-- Reads $files (bars by root, dataset and file), $source_files. Parameters: roots, datasets.
SELECT
  suspect.root, suspect.dataset, suspect.source_file_id, suspect.path, suspect.bars, suspect.remedy,
  SUM(suspect.bars) OVER (PARTITION BY suspect.root) AS offenders,
  CONCAT(
    CAST(SUM(suspect.bars) OVER (PARTITION BY suspect.root) AS STRING), ' non-Databento bar',
    IF(SUM(suspect.bars) OVER (PARTITION BY suspect.root) = 1, '', 's'),
    COALESCE(CONCAT('. ', MIN(suspect.remedy) OVER (PARTITION BY suspect.root)), '')
  ) AS actual
FROM (
  SELECT
    stored.root, stored.dataset, stored.source_file_id, files.path, stored.bars,
    IF(
      files.trust = 'refused',
      CONCAT(
        'Run `cbi unload --file ', SUBSTR(stored.source_file_id, 1, 12), '` to remove those of ',
        files.path, ', which its manifest denies or other bytes replaced'
      ),
      NULL
    ) AS remedy
  FROM (
    SELECT root, dataset, source_file_id, SUM(bars) AS bars
    FROM $files AS counted
    WHERE root IN UNNEST(@roots)
    GROUP BY root, dataset, source_file_id
  ) AS stored
  LEFT JOIN `$source_files` AS files ON stored.source_file_id = files.id
  WHERE
    stored.dataset NOT IN UNNEST(@datasets) OR files.id IS NULL OR files.trust = 'refused'
) AS suspect
WHERE suspect.bars > 0
QUALIFY ROW_NUMBER() OVER (PARTITION BY suspect.root ORDER BY suspect.source_file_id) <= 20

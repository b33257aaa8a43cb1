-- Files of this load whose books do not balance.
SELECT path, records, difference
FROM (
  SELECT
    files.path, files.records,
    files.records - files.not_loaded - files.outside_universe - COALESCE(
      SUM(loads.published + loads.duplicates + loads.quarantined + loads.conflicts + loads.reopened), 0
    ) AS difference
  FROM `ops.source_files` AS files
  LEFT JOIN `ops.loads` AS loads ON files.id = loads.source_file_id
  GROUP BY files.id, files.path, files.records, files.not_loaded, files.outside_universe
)
WHERE difference <> 0

-- Return the books, one row per file. They balance if `difference` is 0: each record read is
-- published, a duplicate, quarantined, in conflict, reopened, not loaded yet or outside the universe.
SELECT
  files.path, files.schema, files.id AS source_file_id, files.job_id, files.status, files.trust,
  files.records,
  COALESCE(SUM(loads.published), 0) AS published,
  COALESCE(SUM(loads.duplicates), 0) AS duplicates,
  COALESCE(SUM(loads.quarantined), 0) AS quarantined,
  COALESCE(SUM(loads.conflicts), 0) AS conflicts,
  COALESCE(SUM(loads.reopened), 0) AS reopened,
  files.not_loaded,
  files.outside_universe,
  files.records - files.not_loaded - files.outside_universe - COALESCE(
    SUM(loads.published + loads.duplicates + loads.quarantined + loads.conflicts + loads.reopened), 0
  ) AS difference
FROM `ops.source_files` AS files
LEFT JOIN `ops.loads` AS loads ON files.id = loads.source_file_id
GROUP BY
  files.path, files.schema, files.id, files.job_id, files.status, files.trust, files.records,
  files.not_loaded, files.outside_universe

-- Mark the chosen files of which something is still loaded as partial.
-- Tables: $chosen.
UPDATE `ops.source_files` AS files
SET status = 'partial', not_loaded = files.not_loaded + taken.records
FROM (
  SELECT chosen.source_file_id, SUM(chosen.records) AS records
  FROM `$chosen` AS chosen
  GROUP BY chosen.source_file_id
) AS taken
WHERE files.id = taken.source_file_id

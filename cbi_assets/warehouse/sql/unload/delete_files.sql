-- Delete the chosen files of which nothing is loaded any more from the books.
-- Tables: $chosen.
DELETE FROM `ops.source_files` AS files
WHERE files.id IN (SELECT chosen.source_file_id FROM `$chosen` AS chosen)
  AND NOT EXISTS (SELECT 1 FROM `ops.loads` AS entry WHERE entry.source_file_id = files.id)

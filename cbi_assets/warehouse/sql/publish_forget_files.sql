-- Drop the old entries of files that are entered anew.
DELETE FROM `ops.source_files` AS entry
WHERE EXISTS (SELECT 1 FROM `$staged` AS staged WHERE staged.id = entry.id)

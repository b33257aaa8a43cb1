-- Delete the files' earlier rows from the books.
-- Tables: $staged.
DELETE FROM `ops.source_files` AS entry
WHERE EXISTS (SELECT 1 FROM `$staged` AS staged WHERE staged.id = entry.id)

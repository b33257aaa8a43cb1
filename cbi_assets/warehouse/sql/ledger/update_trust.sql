-- Record the files' new state of trust in the books.
-- Tables: $staged.
UPDATE `ops.source_files` AS files
SET trust = staged.trust
FROM `$staged` AS staged
WHERE files.id = staged.id

-- Find files and roots of which staging lost or duplicated records, or whose outcomes do not add up.
-- One row per file and root.
-- Reads $todo, $books.
SELECT todo.source_file_id, todo.root, todo.records, COALESCE(books.records, 0) AS staged
FROM `$todo` AS todo
LEFT JOIN `$books` AS books
  ON todo.source_file_id = books.source_file_id AND todo.root = books.root
WHERE COALESCE(books.records, 0) <> todo.records
  OR books.records <> books.fresh + books.own + books.duplicates + books.quarantined + books.conflicts

-- Files and roots whose staged records are not the landed ones, or whose books do not balance.
SELECT todo.source_file_id, todo.root, todo.records, COALESCE(books.records, 0) AS staged
FROM `$todo` AS todo
LEFT JOIN `$books` AS books
  ON todo.source_file_id = books.source_file_id AND todo.root = books.root
WHERE COALESCE(books.records, 0) <> todo.records
  OR books.records <> books.fresh + books.own + books.duplicates + books.quarantined + books.conflicts

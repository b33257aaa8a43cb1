-- Find files and roots whose published bars are not as many as the books say. One row per file and
-- root.
-- Reads $books, $table. Parameters: @load_id, @first_ts, @last_ts.
SELECT
  books.source_file_id, books.root, books.fresh + books.own AS expected,
  COALESCE(published.bars, 0) AS found
FROM `$books` AS books
LEFT JOIN (
  SELECT source_file_id, root, COUNT(*) AS bars
  FROM `$table`
  WHERE load_id = @load_id AND ts_event BETWEEN @first_ts AND @last_ts
  GROUP BY source_file_id, root
) AS published
  ON books.source_file_id = published.source_file_id AND books.root = published.root
WHERE books.fresh + books.own <> COALESCE(published.bars, 0)

-- Files and roots of which the table holds another number of bars than the books say.
SELECT books.source_file_id, books.root, books.fresh + books.own AS entered, COALESCE(held.bars, 0) AS held
FROM `$books` AS books
LEFT JOIN (
  SELECT source_file_id, root, COUNT(*) AS bars
  FROM `$table`
  WHERE load_id = @load_id AND ts_event BETWEEN @first_ts AND @last_ts
  GROUP BY source_file_id, root
) AS held ON books.source_file_id = held.source_file_id AND books.root = held.root
WHERE books.fresh + books.own <> COALESCE(held.bars, 0)

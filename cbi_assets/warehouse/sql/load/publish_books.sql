-- Record the outcome of the staged records in the books. One row per file and root.
-- Tables: $todo, $books. Parameters: @load_id, @timeframe, @loaded_at.
INSERT INTO `ops.loads` (
  load_id, source_file_id, timeframe, root, records, published, duplicates, quarantined,
  conflicts, reopened, job_id, first_ts_event, last_ts_event, loaded_at
)
SELECT
  @load_id, todo.source_file_id, @timeframe, todo.root, todo.records, books.fresh + books.own,
  books.duplicates, books.quarantined, books.conflicts, 0, todo.job_id, todo.first_ts,
  todo.last_ts, @loaded_at
FROM `$todo` AS todo
JOIN `$books` AS books ON todo.source_file_id = books.source_file_id AND todo.root = books.root

-- Enter the files' books, a row a source.
INSERT INTO `ops.staging_files` (
  file_id, path, source, layout, file_verdict, verdict, reason, row_count, observations, published,
  duplicates, refused, conflicts, rules_hash, load_id, seen_at, loaded_at
)
SELECT
  file_id, path, source, layout, file_verdict, verdict, reason, row_count, observations, published,
  duplicates, refused, conflicts, rules_hash, @load_id, seen_at, @loaded_at
FROM `$staged`

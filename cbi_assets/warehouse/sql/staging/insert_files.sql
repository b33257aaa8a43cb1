-- Record the files in the books of staging. One row per file and source.
-- Tables: $staged. Parameters: @load_id, @loaded_at.
INSERT INTO `ops.staging_files` (
  file_id, path, source, layout, file_verdict, verdict, reason, row_count, observations, published,
  duplicates, refused, conflicts, rules_hash, load_id, seen_at, loaded_at
)
SELECT
  file_id, path, source, layout, file_verdict, verdict, reason, row_count, observations, published,
  duplicates, refused, conflicts, rules_hash, @load_id, seen_at, @loaded_at
FROM `$staged`

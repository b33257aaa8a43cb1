-- Record the observations that no table took, each with its row as read.
-- Tables: $staged. Parameters: @load_id, @loaded_at.
INSERT INTO `ops.refused_observations` (
  source_file_id, row_no, item, source, series_id, verdict, reason, record, load_id, loaded_at
)
SELECT
  source_file_id, row_no, item, source, series_id, verdict, reason, record, @load_id, @loaded_at
FROM `$staged`

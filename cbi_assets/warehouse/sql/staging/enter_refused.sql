-- List what no table took, with its row as read.
INSERT INTO `ops.refused_observations` (
  source_file_id, row_no, item, source, series_id, verdict, reason, record, load_id, loaded_at
)
SELECT
  source_file_id, row_no, item, source, series_id, verdict, reason, record, @load_id, @loaded_at
FROM `$staged`

-- Publish the valid observations.
-- Tables: $staged. Parameters: @load_id.
INSERT INTO `raw_intelligence.macro_observations` (
  source, series_id, reference_date, available_at, value, source_file_id, load_id
)
SELECT source, series_id, reference_date, available_at, value, source_file_id, @load_id
FROM `$staged`

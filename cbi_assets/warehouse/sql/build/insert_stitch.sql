-- Record the statistics that justify the stitch.
-- Tables: $staged.
INSERT INTO `ops.stitch_statistics` (
  recorded_at, root, boundary, scale, adjustment, close_kind, bridge_rows, overlap_days, first_day,
  last_day, median_abs_difference, max_abs_difference, median_ratio, share_equal, seam_move,
  inside_move, typical_move
)
SELECT
  recorded_at, root, boundary, scale, adjustment, close_kind, bridge_rows, overlap_days, first_day,
  last_day, median_abs_difference, max_abs_difference, median_ratio, share_equal, seam_move,
  inside_move, typical_move
FROM `$staged`

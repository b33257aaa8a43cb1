-- Publish the bridge's bars with the parameters of their stitch.
-- Tables: $staged. Parameters: @root, @close_kind, @scale, @adjustment, @source, @load_id,
-- @loaded_at.
INSERT INTO `market_data.yahoo_zl_historical_2000_2010` (
  date, root, open, high, low, close, volume, close_kind, close_only, scale, adjustment, source,
  source_file_id, load_id, loaded_at
)
SELECT
  date, @root, open, high, low, close, volume, @close_kind, close_only, @scale, @adjustment,
  @source, source_file_id, @load_id, @loaded_at
FROM `$staged`

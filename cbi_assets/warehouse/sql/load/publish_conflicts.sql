-- Record both versions of each staged bar that differs from the published one.
-- Tables: $verdicts. Parameters: @load_id, @timeframe, @loaded_at.
INSERT INTO `ops.bar_conflicts` (
  load_id, timeframe, root, symbol, ts_event, source_file_id, record_no, published_file_id,
  version, published, loaded_at
)
SELECT
  @load_id, @timeframe, root, symbol, ts_event, source_file_id, record_no, winner_file_id,
  STRUCT(open AS open, high AS high, low AS low, close AS close, volume AS volume,
         instrument_id AS instrument_id),
  STRUCT(winner_open AS open, winner_high AS high, winner_low AS low, winner_close AS close,
         winner_volume AS volume, winner_instrument_id AS instrument_id),
  @loaded_at
FROM `$verdicts`
WHERE verdict = 'conflict'

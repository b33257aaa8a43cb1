-- Quarantine the records that are not valid bars, as read, with the reason.
-- Landing keeps the records that its rules may reject; a tick can have changed since.
-- Tables: $landed, $todo, $rejected. Parameters: @load_id, @timeframe, @loaded_at.
INSERT INTO `ops.quarantined_bars` (
  load_id, source_file_id, record_no, timeframe, root, symbol, ts_event, record, reason, loaded_at
)
SELECT
  @load_id, todo.source_file_id, landed.record_no, @timeframe, landed.root, landed.symbol,
  landed.ts_event, COALESCE(landed.raw, '(not kept: see the file)'), rejected.reason, @loaded_at
FROM `$landed` AS landed
JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
JOIN `$rejected` AS rejected
  ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no

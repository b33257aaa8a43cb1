-- Publish the valid staged bars that are the first of their key. A continuous bar's contract is the
-- one that its instrument is named on its UTC date, if any.
-- Tables: $table, $landed, $todo, $rejected, $verdicts, $names. Parameters: @load_id, @loaded_at.
INSERT INTO `$table` (
  ts_event, trade_date, root, symbol, kind, contract, instrument_id, publisher_id,
  open, high, low, close, volume, dataset, source_file_id, load_id, loaded_at
)
SELECT
  landed.ts_event, landed.trade_date, landed.root, landed.symbol, landed.kind,
  COALESCE(landed.contract, names.contract),
  landed.instrument_id, landed.publisher_id, landed.open, landed.high, landed.low, landed.close,
  landed.volume, landed.dataset, todo.source_file_id, @load_id, @loaded_at
FROM `$landed` AS landed
JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
LEFT JOIN `$rejected` AS rejected
  ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
LEFT JOIN `$verdicts` AS verdicts
  ON landed.file_no = verdicts.file_no AND landed.record_no = verdicts.record_no
LEFT JOIN `$names` AS names
  ON landed.kind = 'continuous' AND names.dataset = landed.dataset AND names.root = landed.root
    AND names.instrument_id = landed.instrument_id
    AND DATE(landed.ts_event) >= names.from_date AND DATE(landed.ts_event) < names.to_date
WHERE rejected.reason IS NULL AND COALESCE(verdicts.verdict, 'publish') = 'publish'

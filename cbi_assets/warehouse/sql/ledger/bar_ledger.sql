-- Select what the ledger says of each file's bars. One row per timeframe, root and file.
-- Reads ops.loads. Parameter: timeframe (empty: all).
SELECT
  timeframe, root, source_file_id,
  CONCAT(load_id, COALESCE(CONCAT(' ', named_by), '')) AS load_id, published, reopened,
  first_ts_event, last_ts_event
FROM `ops.loads`
WHERE (@timeframe = '' OR timeframe = @timeframe) AND published > 0 AND root <> ''

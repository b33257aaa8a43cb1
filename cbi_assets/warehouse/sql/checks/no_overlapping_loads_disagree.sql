-- Select bars that disagree with the published bar of the same symbol and start time.
-- Reads ops.bar_conflicts. Parameters: timeframe, roots.
SELECT
  root, symbol, ts_event, source_file_id, published_file_id,
  version.close AS close, published.close AS published_close,
  COUNT(*) OVER (PARTITION BY root) AS offenders
FROM `ops.bar_conflicts`
WHERE timeframe = @timeframe AND root IN UNNEST(@roots)
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY symbol, ts_event) <= 20

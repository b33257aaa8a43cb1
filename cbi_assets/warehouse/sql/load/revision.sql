-- Compare a later version of some days with the published bars, bar by bar. One row per bar that was
-- added, removed or changed; the side without the bar is NULL.
-- Reads $landed, $todo, $rejected, $table, $days. Parameters: @first_ts, @last_ts, @roots.
WITH later AS (
  SELECT
    landed.root, landed.symbol, landed.ts_event, landed.open, landed.high, landed.low,
    landed.close, landed.volume, landed.instrument_id
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  JOIN (SELECT DISTINCT root, day FROM `$days`) AS days
    ON landed.root = days.root AND DATE(landed.ts_event) = days.day
  LEFT JOIN `$rejected` AS rejected
    ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
  WHERE rejected.reason IS NULL
),
earlier AS (
  SELECT
    bars.root, bars.symbol, bars.ts_event, bars.open, bars.high, bars.low, bars.close,
    bars.volume, bars.instrument_id
  FROM `$table` AS bars
  JOIN `$days` AS days
    ON bars.root = days.root AND bars.symbol = days.symbol AND DATE(bars.ts_event) = days.day
      AND bars.source_file_id = days.source_file_id
  WHERE bars.ts_event BETWEEN @first_ts AND @last_ts AND bars.root IN UNNEST(@roots)
)
SELECT
  CASE WHEN earlier.symbol IS NULL THEN 'added' WHEN later.symbol IS NULL THEN 'removed' ELSE 'changed'
  END AS difference,
  COALESCE(later.root, earlier.root) AS root,
  COALESCE(later.symbol, earlier.symbol) AS symbol,
  COALESCE(later.ts_event, earlier.ts_event) AS ts_event,
  earlier.open AS old_open, later.open AS new_open, earlier.high AS old_high, later.high AS new_high,
  earlier.low AS old_low, later.low AS new_low, earlier.close AS old_close, later.close AS new_close,
  earlier.volume AS old_volume, later.volume AS new_volume,
  earlier.instrument_id AS old_instrument_id, later.instrument_id AS new_instrument_id
FROM later
FULL OUTER JOIN earlier ON later.symbol = earlier.symbol AND later.ts_event = earlier.ts_event
WHERE earlier.symbol IS NULL OR later.symbol IS NULL OR NOT (
  later.open = earlier.open AND later.high = earlier.high AND later.low = earlier.low AND later.close = earlier.close
  AND later.volume = earlier.volume AND later.instrument_id = earlier.instrument_id
)
ORDER BY ts_event, symbol

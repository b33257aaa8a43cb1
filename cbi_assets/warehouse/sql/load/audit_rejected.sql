-- Find the staged records that are not valid bars. One row per record, with the first reason that
-- applies. The price of an outright or a continuous symbol is a multiple of the root's tick on that
-- trade date; a spread's may be finer, but a hundredth of a tick is a price that lost its scale.
-- Records that an accepted later version of their day replaces are rejected too.
-- Reads $landed, $todo, $ticks, $superseded. Parameters: @datasets, @rtype, @timeframe, @step_us.
SELECT file_no, record_no, reason
FROM (
  SELECT
    landed.file_no,
    landed.record_no,
    CASE
      WHEN landed.fault IS NOT NULL THEN landed.fault
      WHEN landed.dataset IS NULL OR landed.dataset NOT IN UNNEST(@datasets)
        THEN CONCAT('dataset ', COALESCE(landed.dataset, 'unknown'), ' may not be published')
      WHEN landed.rtype IS NULL OR landed.rtype <> @rtype
        THEN CONCAT('rtype ', COALESCE(CAST(landed.rtype AS STRING), 'unknown'), ' among ohlcv-', @timeframe)
      WHEN landed.trade_date IS NULL THEN 'ts_event is missing or out of range'
      WHEN landed.dataset <> ticks.dataset
        THEN CONCAT('dataset ', landed.dataset, ' has another ', landed.root, ' than ', ticks.dataset)
      WHEN MOD(UNIX_MICROS(landed.ts_event), @step_us) <> 0
        THEN CONCAT('ts_event is not the start of a ', @timeframe, ' bar')
      WHEN landed.open IS NULL OR landed.high IS NULL OR landed.low IS NULL OR landed.close IS NULL
        THEN 'undefined price'
      WHEN landed.volume IS NULL OR landed.volume < 0 THEN 'volume is missing or negative'
      WHEN landed.instrument_id IS NULL OR landed.publisher_id IS NULL
        THEN 'instrument_id or publisher_id is missing'
      WHEN NOT (
        landed.low <= landed.open AND landed.open <= landed.high
        AND landed.low <= landed.close AND landed.close <= landed.high
      ) THEN 'open or close lies outside low to high'
      WHEN landed.kind IN ('outright', 'continuous') AND (
        CASE WHEN ABS(landed.open) < 9e9 THEN MOD(CAST(ROUND(landed.open * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
        OR CASE WHEN ABS(landed.high) < 9e9 THEN MOD(CAST(ROUND(landed.high * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
        OR CASE WHEN ABS(landed.low) < 9e9 THEN MOD(CAST(ROUND(landed.low * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
        OR CASE WHEN ABS(landed.close) < 9e9 THEN MOD(CAST(ROUND(landed.close * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
      ) THEN CONCAT(
        'a price is not a multiple of the tick ',
        COALESCE(CAST(ticks.tick_nanos / 1e9 AS STRING), '(none in universe.yaml)')
      )
      WHEN (landed.open <> 0 AND ABS(landed.open) * 1e11 < ticks.tick_nanos)
        OR (landed.high <> 0 AND ABS(landed.high) * 1e11 < ticks.tick_nanos)
        OR (landed.low <> 0 AND ABS(landed.low) * 1e11 < ticks.tick_nanos)
        OR (landed.close <> 0 AND ABS(landed.close) * 1e11 < ticks.tick_nanos)
        THEN CONCAT('a price is below a hundredth of the tick ', CAST(ticks.tick_nanos / 1e9 AS STRING))
      WHEN superseded.job_id IS NOT NULL THEN CONCAT('superseded by job ', superseded.job_id)
    END AS reason
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  LEFT JOIN `$ticks` AS ticks
    ON landed.root = ticks.root AND landed.trade_date BETWEEN ticks.first_date AND ticks.last_date
  LEFT JOIN `$superseded` AS superseded
    ON landed.file_no = superseded.file_no AND landed.symbol = superseded.symbol
      AND DATE(landed.ts_event) = superseded.day
)
WHERE reason IS NOT NULL

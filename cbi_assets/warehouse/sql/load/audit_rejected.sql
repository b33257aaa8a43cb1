-- Find the staged records that are not valid bars. One row per record, with the first reason that
-- applies.
-- Reads $landed, $todo. Parameters: @datasets, @rtype, @timeframe, @step_us.
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
    END AS reason
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
)
WHERE reason IS NOT NULL

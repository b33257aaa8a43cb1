-- Return the 1h or 1d bars of the requested sessions. `weighted` is (H+L+C) V.
-- Reads $table, $wanted, $timeframe. Parameters: @roots, @first, @end.
SELECT
  b.root, b.symbol, b.contract, b.instrument_id, b.trade_date, b.ts_event,
  b.open, b.high, b.low, b.close, b.volume,
  (b.high + b.low + b.close) * b.volume AS weighted,
  w.built_from
FROM `$table` AS b
JOIN `$wanted` AS w ON w.symbol = b.symbol AND w.trade_date = b.trade_date
WHERE b.root IN UNNEST(@roots) AND w.built_from = '$timeframe'
  AND b.ts_event >= @first AND b.ts_event < @end

-- Aggregate the 1m bars of the requested sessions to hours, never across contracts. `weighted` is
-- the sum of (H+L+C) V, in decimals: a sum of floats would depend on the order of the rows.
-- Reads $table, $wanted. Parameters: @roots, @first, @end.
SELECT
  b.root, b.symbol, b.contract, b.instrument_id, b.trade_date,
  TIMESTAMP_TRUNC(b.ts_event, HOUR) AS ts_event,
  ANY_VALUE(b.open HAVING MIN b.ts_event) AS open, MAX(b.high) AS high, MIN(b.low) AS low,
  ANY_VALUE(b.close HAVING MAX b.ts_event) AS close, SUM(b.volume) AS volume,
  CAST(SUM(CAST(b.high + b.low + b.close AS NUMERIC) * b.volume) AS FLOAT64) AS weighted,
  '1m' AS built_from
FROM `$table` AS b
JOIN `$wanted` AS w ON w.symbol = b.symbol AND w.trade_date = b.trade_date
WHERE b.root IN UNNEST(@roots) AND w.built_from = '1m'
  AND b.ts_event >= @first AND b.ts_event < @end
GROUP BY b.root, b.symbol, b.contract, b.instrument_id, b.trade_date, TIMESTAMP_TRUNC(b.ts_event, HOUR)

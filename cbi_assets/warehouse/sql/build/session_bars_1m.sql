-- Aggregate the 1m bars of the requested sessions to hours, never across contracts. `weighted` is
-- the sum of (H+L+C) V, in decimals: a sum of floats would depend on the order of the rows.
-- Reads $table, $wanted. Parameters: @roots, @first, @end.
SELECT
  root, symbol, contract, instrument_id, trade_date,
  TIMESTAMP_MICROS(hour_no * 3600000000) AS ts_event,
  open, high, low, close, volume, weighted, '1m' AS built_from
FROM (
  -- The hour of every bar, as a timestamp, would cost DuckDB as much as all the rest.
  SELECT
    b.root, b.symbol, b.contract, b.instrument_id, b.trade_date,
    DIV(UNIX_MICROS(b.ts_event), 3600000000) AS hour_no,
    ANY_VALUE(b.open HAVING MIN b.ts_event) AS open, MAX(b.high) AS high, MIN(b.low) AS low,
    ANY_VALUE(b.close HAVING MAX b.ts_event) AS close, SUM(b.volume) AS volume,
    CAST(SUM(CAST(b.high + b.low + b.close AS NUMERIC) * b.volume) AS FLOAT64) AS weighted
  FROM `$table` AS b
  JOIN `$wanted` AS w ON w.symbol = b.symbol AND w.trade_date = b.trade_date
  WHERE b.root IN UNNEST(@roots) AND w.built_from = '1m'
    AND b.ts_event >= @first AND b.ts_event < @end
  GROUP BY b.root, b.symbol, b.contract, b.instrument_id, b.trade_date, hour_no
)

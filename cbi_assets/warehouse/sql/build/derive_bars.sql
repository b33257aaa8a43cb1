-- Derive the bars of the chosen sessions and insert them: one per step and contract. A bar's loads are
-- those of its session, or collected if the session's bars are of several loads. build/derive.py
-- says what stands for a step's bounds (microseconds UTC).
-- Tables: $derived, $source, $chosen. Pieces: start, stop, steps, loads, load_ids,
-- built_from. Parameters: @roots, @first_ts, @last_ts.
INSERT INTO `$derived` (
  ts_event, bar_end, trade_date, root, symbol, kind, contract, instrument_id, open, high, low,
  close, volume, built_from, load_ids
)
SELECT
  TIMESTAMP_MICROS(bars.start) AS ts_event, TIMESTAMP_MICROS(bars.stop) AS bar_end,
  chosen.trade_date, chosen.root, chosen.symbol, chosen.kind, bars.contract,
  bars.instrument_id, bars.open, bars.high, bars.low, bars.close, bars.volume,
  '$built_from' AS built_from, $load_ids AS load_ids
FROM (
  SELECT
    chosen.session_no, raw.instrument_id, $start AS start, $stop AS stop,
    MIN(raw.contract) AS contract, ANY_VALUE(raw.open HAVING MIN raw.ts_event) AS open,
    IF(COUNT(raw.high) = COUNT(*), MAX(raw.high), NULL) AS high,
    IF(COUNT(raw.low) = COUNT(*), MIN(raw.low), NULL) AS low,
    ANY_VALUE(raw.close HAVING MAX raw.ts_event) AS close,
    SUM(raw.volume) AS volume$loads
  FROM `$source` AS raw
  JOIN `$chosen` AS chosen ON chosen.symbol = raw.symbol AND chosen.trade_date = raw.trade_date$steps
  WHERE raw.ts_event BETWEEN @first_ts AND @last_ts AND raw.root IN UNNEST(@roots)
  GROUP BY chosen.session_no, raw.instrument_id, start, stop
) AS bars
JOIN `$chosen` AS chosen ON chosen.session_no = bars.session_no
ORDER BY chosen.session_no

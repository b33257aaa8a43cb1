-- Return the raw bars of the chosen symbols and trade dates.
-- Reads $table, $chosen. Parameters: @first_ts, @last_ts, @roots.
SELECT
  bars.ts_event, bars.trade_date, bars.root, bars.symbol, bars.kind, bars.contract,
  bars.instrument_id, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.load_id
FROM `$table` AS bars
JOIN `$chosen` AS chosen
  ON chosen.symbol = bars.symbol AND chosen.trade_date = bars.trade_date
WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
  AND bars.root IN UNNEST(@roots)

-- Select the bars of the chosen symbols and trade dates. One row per bar.
-- Reads $table, $chosen. Pieces: bar_end, loads. Parameters: root, first, end.
SELECT
  own.trade_date, own.symbol, own.ts_event, $bar_end AS bar_end,
  COALESCE(own.contract, CONCAT(own.symbol, '#', CAST(own.instrument_id AS STRING))) AS contract,
  own.open, own.high, own.low, own.close, own.volume,
  $loads AS bar_load_ids
FROM `$table` AS own
JOIN `$chosen` AS chosen ON chosen.symbol = own.symbol AND chosen.trade_date = own.trade_date
WHERE own.root = @root AND own.ts_event >= @first AND own.ts_event < @end

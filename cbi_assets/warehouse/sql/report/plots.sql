-- Count bars, and find the close of the most traded symbol, spreads excluded.
-- One row per root and trade date. Reads $table. Parameter: @roots.
WITH by_symbol AS (
  SELECT
    root, trade_date, symbol, COUNT(*) AS bars,
    SUM(IF(kind IN ('outright', 'continuous'), volume, -1)) AS volume, MAX_BY(close, ts_event) AS close
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, trade_date, symbol
)
SELECT
  root, trade_date, SUM(bars) AS bars,
  MAX_BY(IF(volume >= 0, close, NULL), volume) AS close
FROM by_symbol
GROUP BY root, trade_date
ORDER BY root, trade_date

-- Count bars, and find the close of the most traded symbol, spreads excluded.
-- One row per root and trade date. Reads $table. Parameter: @roots.
WITH by_symbol AS (
  SELECT
    root, trade_date, symbol, COUNT(*) AS bars,
    SUM(IF(kind IN ('outright', 'continuous'), volume, -1)) AS volume,
    ANY_VALUE(close HAVING MAX ts_event) AS close
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, trade_date, symbol
)
SELECT
  root, trade_date, SUM(bars) AS bars,
  ANY_VALUE(IF(volume >= 0, close, NULL) HAVING MAX volume) AS close
FROM by_symbol
GROUP BY root, trade_date
ORDER BY root, trade_date

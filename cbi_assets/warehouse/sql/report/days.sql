-- The trade dates on which each root has bars, and how many of which kind; session_bars are those that
-- make a session of the trade date, and not of its evening before alone (see stock.sql).
SELECT
  root, trade_date, COUNT(*) AS bars,
  COUNTIF(kind = 'outright') AS outrights,
  COUNTIF(kind = 'spread') AS spreads,
  COUNTIF(kind = 'continuous') AS continuous,
  COUNTIF(
    (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
    AND DATE(ts_event) >= trade_date
  ) AS session_bars
FROM `$table`
GROUP BY root, trade_date
ORDER BY root, trade_date

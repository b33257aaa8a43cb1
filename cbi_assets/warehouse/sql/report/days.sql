-- The trade dates on which each root has bars, and how many of which kind.
SELECT
  root, trade_date, COUNT(*) AS bars,
  COUNTIF(kind = 'outright') AS outrights,
  COUNTIF(kind = 'spread') AS spreads,
  COUNTIF(kind = 'continuous') AS continuous
FROM `$table`
GROUP BY root, trade_date
ORDER BY root, trade_date

-- Trade dates inside a series' range on which it has no bar; the vendor's known gaps are left out.
WITH series AS (
  SELECT DISTINCT root, IF(kind = 'continuous', symbol, kind) AS name, trade_date
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND kind IN ('continuous', 'outright')
),
spans AS (
  SELECT root, name, MIN(trade_date) AS first_date, MAX(trade_date) AS last_date
  FROM series
  GROUP BY root, name
)
SELECT
  spans.root, spans.name AS series, days.trade_date,
  COUNT(*) OVER (PARTITION BY spans.root) AS offenders
FROM spans
JOIN `$days` AS days
  ON days.root = spans.root AND days.trade_date BETWEEN spans.first_date AND spans.last_date
LEFT JOIN series
  ON series.root = spans.root AND series.name = spans.name AND series.trade_date = days.trade_date
WHERE series.root IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY spans.root ORDER BY spans.name, days.trade_date) <= 20

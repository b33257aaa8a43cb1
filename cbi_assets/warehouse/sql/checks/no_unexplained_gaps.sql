-- Select weekdays within a series' range on which it has no bar, except those on which the exchange
-- was closed or the vendor has no data. One row per series and trade date.
-- Reads $days (trade dates by root, symbol and kind), $closed. Parameter: roots.
WITH series AS (
  SELECT DISTINCT root, IF(kind = 'continuous', symbol, kind) AS name, trade_date
  FROM `$days`
  WHERE root IN UNNEST(@roots) AND kind IN ('continuous', 'outright')
),
spans AS (
  SELECT root, name, MIN(trade_date) AS first_date, MAX(trade_date) AS last_date
  FROM series
  GROUP BY root, name
),
days AS (
  SELECT spans.root, spans.name, trade_date
  FROM spans
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(spans.first_date, spans.last_date)) AS trade_date
  -- 2000-01-03 was a Monday
  WHERE MOD(DATE_DIFF(trade_date, DATE '2000-01-03', DAY), 7) < 5
)
SELECT
  days.root, days.name AS series, days.trade_date,
  COUNT(*) OVER (PARTITION BY days.root) AS offenders
FROM days
LEFT JOIN `$closed` AS closed
  ON closed.root = days.root AND closed.trade_date = days.trade_date
LEFT JOIN series
  ON series.root = days.root AND series.name = days.name AND series.trade_date = days.trade_date
WHERE series.root IS NULL AND closed.root IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY days.root ORDER BY days.name, days.trade_date) <= 20

-- Compare each root's first and last trade date with those wanted of it, and with the other roots'.
-- A root may end one trade date before the newest: a file that ends at 00:00 UTC contains the
-- evening session of some sectors and not of others. One row per root.
-- Reads $days (trade dates by root, symbol and kind), $wanted. Parameter: roots.
WITH covered AS (
  SELECT root, MIN(trade_date) AS first_date, MAX(trade_date) AS last_date
  FROM `$days`
  GROUP BY root
),
common AS (
  SELECT MIN(first_date) AS first_date, MAX(last_date) AS last_date FROM covered
),
until AS (
  SELECT
    COALESCE(
      MAX(IF(bars.trade_date < common.last_date, bars.trade_date, NULL)), MAX(common.last_date)
    ) AS last_date
  FROM `$days` AS bars
  CROSS JOIN common
),
wish AS (
  SELECT
    wanted.root,
    IF(wanted.is_wanted, wanted.first_date, GREATEST(wanted.first_date, common.first_date)) AS first_date,
    LEAST(until.last_date, wanted.last_date) AS last_date
  FROM `$wanted` AS wanted
  CROSS JOIN common
  CROSS JOIN until
)
SELECT
  covered.root,
  IF(covered.first_date > wish.first_date OR covered.last_date < wish.last_date, 1, 0) AS offenders,
  CONCAT(CAST(wish.first_date AS STRING), ' to ', CAST(wish.last_date AS STRING), ' or later') AS expected,
  CONCAT(CAST(covered.first_date AS STRING), ' to ', CAST(covered.last_date AS STRING)) AS actual
FROM covered
JOIN wish ON covered.root = wish.root
WHERE covered.root IN UNNEST(@roots)

-- First and last trade date of each root against the dates wanted of it and held of the others.
WITH held AS (
  SELECT root, MIN(trade_date) AS first_date, MAX(trade_date) AS last_date
  FROM `$table`
  GROUP BY root
),
common AS (
  SELECT MIN(first_date) AS first_date, MAX(last_date) AS last_date FROM held
)
SELECT
  held.root,
  IF(
    held.first_date > IF(wanted.is_wanted, wanted.first_date, GREATEST(wanted.first_date, common.first_date))
    OR held.last_date < common.last_date, 1, 0
  ) AS offenders,
  CONCAT(
    CAST(IF(wanted.is_wanted, wanted.first_date, GREATEST(wanted.first_date, common.first_date)) AS STRING),
    ' to ', CAST(common.last_date AS STRING)
  ) AS expected,
  CONCAT(CAST(held.first_date AS STRING), ' to ', CAST(held.last_date AS STRING)) AS actual
FROM held
JOIN `$wanted` AS wanted ON held.root = wanted.root
CROSS JOIN common
WHERE held.root IN UNNEST(@roots)

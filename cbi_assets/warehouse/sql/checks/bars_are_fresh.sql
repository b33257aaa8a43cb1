-- Compare each root's newest trade date with the oldest one that is fresh. One row per root.
-- Reads $days (trade dates by root, symbol and kind), $wanted. Parameter: roots.
SELECT
  bars.root,
  IF(MAX(bars.trade_date) < MIN(wanted.fresh_from), 1, 0) AS offenders,
  CONCAT(CAST(MIN(wanted.fresh_from) AS STRING), ' or later') AS expected,
  CONCAT('newest bar ', CAST(MAX(bars.trade_date) AS STRING)) AS actual
FROM `$days` AS bars
JOIN `$wanted` AS wanted ON bars.root = wanted.root
WHERE bars.root IN UNNEST(@roots)
GROUP BY bars.root

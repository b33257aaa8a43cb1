-- Bars held for each root against the bars that the books say its files published.
WITH entered AS (
  SELECT root, source_file_id, SUM(published) AS bars
  FROM `ops.loads`
  WHERE timeframe = @timeframe AND root IN UNNEST(@roots)
  GROUP BY root, source_file_id
),
held AS (
  SELECT root, source_file_id, COUNT(*) AS bars
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, source_file_id
)
SELECT
  COALESCE(held.root, entered.root) AS root,
  SUM(ABS(COALESCE(held.bars, 0) - COALESCE(entered.bars, 0))) AS offenders,
  CONCAT(CAST(SUM(COALESCE(entered.bars, 0)) AS STRING), ' bars by the books') AS expected,
  CONCAT(CAST(SUM(COALESCE(held.bars, 0)) AS STRING), ' bars held') AS actual,
  MIN(IF(COALESCE(held.bars, 0) <> COALESCE(entered.bars, 0),
         COALESCE(held.source_file_id, entered.source_file_id), NULL)) AS first_file_that_differs
FROM held
FULL OUTER JOIN entered
  ON held.root = entered.root AND held.source_file_id = entered.source_file_id
GROUP BY 1

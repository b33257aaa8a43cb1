-- Rows of the bridge from 2010-06-06 on, and observations of Yahoo's elsewhere.
WITH faults AS (
  SELECT date AS day, source, 'the bridge ends before 2010-06-06' AS fault
  FROM `$table`
  WHERE date >= DATE '2010-06-06'
  UNION ALL
  SELECT reference_date AS day, source, 'Yahoo may give nothing but the bridge' AS fault
  FROM `raw_intelligence.macro_observations`
  WHERE STARTS_WITH(LOWER(source), 'yahoo')
)
SELECT '' AS root, day, source, fault, COUNT(*) OVER () AS offenders
FROM faults
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (ORDER BY day, source) <= 20

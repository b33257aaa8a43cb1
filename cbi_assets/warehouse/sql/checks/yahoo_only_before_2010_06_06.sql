-- Select rows of the bridge from 2010-06-06 on, and observations of Yahoo elsewhere.
-- Reads $table, raw_intelligence.macro_observations.
WITH problems AS (
  SELECT date AS day, source, 'the bridge ends before 2010-06-06' AS problem
  FROM `$table`
  WHERE date >= DATE '2010-06-06'
  UNION ALL
  SELECT reference_date AS day, source, 'Yahoo may give only the bridge' AS problem
  FROM `raw_intelligence.macro_observations`
  WHERE STARTS_WITH(LOWER(source), 'yahoo')
)
SELECT '' AS root, day, source, problem, COUNT(*) OVER () AS offenders
FROM problems
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (ORDER BY day, source) <= 20

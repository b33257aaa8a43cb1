-- Count a training table's rows of each date, and by what their targets lack.
-- One row per date. Reads $table, named $own, whose column of dates is $date.
SELECT
  '$own' AS table_name,
  $date AS date,
  COUNT(*) AS row_count,
  COUNT(target) AS targets,
  COUNTIF(target_missing = 'not yet') AS not_yet,
  COUNTIF(STARTS_WITH(target_missing, 'roll step unknown')) AS roll_unknown,
  COUNTIF(STARTS_WITH(target_missing, 'gap') OR STARTS_WITH(target_missing, 'session break')) AS gaps,
  COUNTIF(STARTS_WITH(target_missing, 'price not positive')) AS other_missing
FROM `$table`
GROUP BY date

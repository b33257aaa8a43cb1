-- Select loaded days that the vendor called degraded or pending, or modified since they were
-- fetched. Reads $unsettled: root, series, day, condition. Parameter: roots.
SELECT
  root, series, day, condition, COUNT(*) OVER (PARTITION BY root) AS offenders
FROM `$unsettled`
WHERE root IN UNNEST(@roots)
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY day DESC, series) <= 20

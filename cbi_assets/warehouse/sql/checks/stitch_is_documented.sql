-- Select rows that are not stitched as the stitch says, and a bridge whose statistics are missing
-- or older than the newest load. One row per problem.
-- Reads $table, $stitch, ops.loads, ops.stitch_statistics.
WITH newest AS (
  SELECT MAX(loaded_at) AS loaded_at
  FROM (
    SELECT loaded_at FROM `$table`
    UNION ALL
    SELECT loads.loaded_at
    FROM `ops.loads` AS loads
    JOIN `$stitch` AS stitch ON stitch.root = loads.root
  )
),
documented AS (
  SELECT MAX(stats.recorded_at) AS recorded_at
  FROM `ops.stitch_statistics` AS stats
  JOIN `$stitch` AS stitch
    ON stitch.root = stats.root AND stitch.boundary = stats.boundary AND stitch.scale = stats.scale
    AND stitch.adjustment = stats.adjustment AND stitch.close_kind = stats.close_kind
),
problems AS (
  SELECT bridge.date AS day, 'not stitched as sources.yaml says' AS problem
  FROM `$table` AS bridge
  LEFT JOIN `$stitch` AS stitch
    ON stitch.root = bridge.root AND stitch.source = bridge.source AND stitch.scale = bridge.scale
    AND stitch.adjustment = bridge.adjustment AND stitch.close_kind = bridge.close_kind
  WHERE stitch.root IS NULL
  UNION ALL
  SELECT
    CAST(newest.loaded_at AS DATE) AS day,
    'no statistics since this load: run cbi build' AS problem
  FROM newest
  CROSS JOIN documented
  WHERE (SELECT COUNT(*) FROM `$table`) > 0
    AND (documented.recorded_at IS NULL OR documented.recorded_at < newest.loaded_at)
)
SELECT '' AS root, day, problem, COUNT(*) OVER () AS offenders
FROM problems
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (ORDER BY day, problem) <= 20

-- Find the keys (symbol, ts_event) that occur more than once among the valid staged bars, or are
-- published already. One row per key.
-- A bit for each start time counts those of 60 steps at a fraction of what grouping by them costs;
-- only where there are fewer than bars are they grouped.
-- Reads $landed, $todo, $rejected, $table. Parameters: @step_us, @first_ts, @last_ts, @roots.
WITH valid AS (
  SELECT landed.symbol, landed.ts_event
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  LEFT JOIN `$rejected` AS rejected
    ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
  WHERE rejected.reason IS NULL
),
crowded AS (
  SELECT symbol, DIV(DIV(UNIX_MICROS(ts_event), @step_us), 60) AS block
  FROM valid
  GROUP BY symbol, DIV(DIV(UNIX_MICROS(ts_event), @step_us), 60)
  HAVING COUNT(*) > BIT_COUNT(BIT_OR(1 << ABS(MOD(DIV(UNIX_MICROS(ts_event), @step_us), 60))))
)
SELECT valid.symbol, valid.ts_event
FROM valid
JOIN crowded
  ON valid.symbol = crowded.symbol
    AND DIV(DIV(UNIX_MICROS(valid.ts_event), @step_us), 60) = crowded.block
GROUP BY valid.symbol, valid.ts_event
HAVING COUNT(*) > 1
UNION DISTINCT
SELECT published.symbol, published.ts_event
FROM `$table` AS published
JOIN valid ON published.symbol = valid.symbol AND published.ts_event = valid.ts_event
WHERE published.ts_event BETWEEN @first_ts AND @last_ts
  AND published.root IN UNNEST(@roots)

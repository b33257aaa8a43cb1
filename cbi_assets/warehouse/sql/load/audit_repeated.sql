-- Find the keys (symbol, ts_event) that occur more than once among the valid staged bars, or are
-- published already. One row per key.
-- Reads $landed, $todo, $rejected, $table. Parameters: @first_ts, @last_ts, @roots.
WITH valid AS (
  SELECT landed.symbol, landed.ts_event
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  LEFT JOIN `$rejected` AS rejected
    ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
  WHERE rejected.reason IS NULL
)
SELECT symbol, ts_event
FROM valid
GROUP BY symbol, ts_event
HAVING COUNT(*) > 1
UNION DISTINCT
SELECT published.symbol, published.ts_event
FROM `$table` AS published
JOIN valid ON published.symbol = valid.symbol AND published.ts_event = valid.ts_event
WHERE published.ts_event BETWEEN @first_ts AND @last_ts
  AND published.root IN UNNEST(@roots)

-- Keys (symbol, ts_event) that come up more than once: within the staged bars, or in the table.
WITH sound AS (
  SELECT landed.symbol, landed.ts_event
  FROM `$landed` AS landed
  JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
  LEFT JOIN `$rejected` AS rejected
    ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
  WHERE rejected.reason IS NULL
)
SELECT symbol, ts_event
FROM sound
GROUP BY symbol, ts_event
HAVING COUNT(*) > 1
UNION DISTINCT
SELECT published.symbol, published.ts_event
FROM `$table` AS published
JOIN sound ON published.symbol = sound.symbol AND published.ts_event = sound.ts_event
WHERE published.ts_event BETWEEN @first_ts AND @last_ts
  AND published.root IN UNNEST(@roots)

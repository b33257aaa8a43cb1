-- Assign the bars that a re-read file had published before to this load.
-- Tables: $table, $verdicts. Parameters: @load_id, @loaded_at, @first_ts, @last_ts.
UPDATE `$table` AS bars
SET load_id = @load_id, loaded_at = @loaded_at
WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
  AND EXISTS (
    SELECT 1 FROM `$verdicts` AS verdicts
    WHERE verdicts.verdict = 'own'
      AND verdicts.source_file_id = bars.source_file_id AND verdicts.root = bars.root
  )

-- Bars that a reopened file had published already now belong to this load.
UPDATE `$table` AS bars
SET load_id = @load_id, loaded_at = @loaded_at
WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
  AND EXISTS (
    SELECT 1 FROM `$verdicts` AS verdicts
    WHERE verdicts.verdict = 'own'
      AND verdicts.source_file_id = bars.source_file_id AND verdicts.root = bars.root
  )

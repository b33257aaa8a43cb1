-- Count the outcome of the staged records. One row per staged file and root:
-- records = fresh (to publish) + own (published before) + duplicates + quarantined + conflicts.
-- Reads $landed, $todo, $rejected, $verdicts.
SELECT
  todo.source_file_id,
  todo.root,
  COUNT(*) AS records,
  COUNTIF(rejected.reason IS NULL AND COALESCE(verdicts.verdict, 'publish') = 'publish') AS fresh,
  COUNTIF(verdicts.verdict = 'own') AS own,
  COUNTIF(verdicts.verdict = 'duplicate') AS duplicates,
  COUNTIF(rejected.reason IS NOT NULL) AS quarantined,
  COUNTIF(verdicts.verdict = 'conflict') AS conflicts
FROM `$landed` AS landed
JOIN `$todo` AS todo ON landed.file_no = todo.file_no AND landed.root = todo.root
LEFT JOIN `$rejected` AS rejected
  ON landed.file_no = rejected.file_no AND landed.record_no = rejected.record_no
LEFT JOIN `$verdicts` AS verdicts
  ON landed.file_no = verdicts.file_no AND landed.record_no = verdicts.record_no
GROUP BY todo.source_file_id, todo.root

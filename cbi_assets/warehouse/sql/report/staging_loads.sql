-- Outcome of the observations of each load of staging, oldest first. One row per load.
SELECT
  load_id, '' AS timeframe, MIN(loaded_at) AS loaded_at, COUNT(DISTINCT file_id) AS files,
  SUM(observations) AS records, SUM(published) AS published, SUM(duplicates) AS duplicates,
  SUM(refused + conflicts) AS set_aside
FROM `ops.staging_files`
GROUP BY load_id
ORDER BY loaded_at, load_id

-- Outcome of the records of each load of bars, oldest first. One row per load and timeframe.
SELECT
  load_id, timeframe, MIN(loaded_at) AS loaded_at, COUNT(DISTINCT source_file_id) AS files,
  SUM(records) AS records, SUM(published) AS published, SUM(duplicates) AS duplicates,
  SUM(quarantined + conflicts + reopened) AS set_aside
FROM `ops.loads`
GROUP BY load_id, timeframe
ORDER BY loaded_at, load_id, timeframe

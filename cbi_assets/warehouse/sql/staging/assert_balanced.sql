-- Find files whose books do not balance or do not match the tables. One row per file.
SELECT books.path, books.published, COALESCE(stored.observations, 0) AS found, books.difference
FROM (
  SELECT
    file_id, path, SUM(published) AS published,
    SUM(observations - published - duplicates - refused - conflicts) AS difference,
    SUM(IF(file_verdict IN ('blocked', 'unread'), 0, refused + conflicts)) AS not_taken
  FROM `ops.staging_files`
  GROUP BY file_id, path
) AS books
LEFT JOIN (
  SELECT source_file_id, COUNT(*) AS observations
  FROM (
    SELECT source_file_id FROM `raw_intelligence.macro_observations`
    UNION ALL
    SELECT source_file_id FROM `market_data.yahoo_zl_historical_2000_2010`
  )
  GROUP BY source_file_id
) AS stored ON stored.source_file_id = books.file_id
LEFT JOIN (
  SELECT source_file_id, COUNT(*) AS listed
  FROM `ops.refused_observations`
  GROUP BY source_file_id
) AS lists ON lists.source_file_id = books.file_id
WHERE books.difference <> 0
  OR books.published <> COALESCE(stored.observations, 0)
  OR books.not_taken <> COALESCE(lists.listed, 0)

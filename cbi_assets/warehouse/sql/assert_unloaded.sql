-- Bars that are left of what was to be taken out.
SELECT bars.root, COUNT(*) AS held
FROM `$table` AS bars
JOIN `$chosen` AS chosen
  ON bars.source_file_id = chosen.source_file_id AND bars.root = chosen.root
WHERE chosen.timeframe = @timeframe
GROUP BY bars.root

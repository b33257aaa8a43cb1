-- Take out the bars of the chosen files and roots.
DELETE FROM `$table` AS bars
WHERE EXISTS (
  SELECT 1 FROM `$chosen` AS chosen
  WHERE chosen.timeframe = @timeframe
    AND chosen.source_file_id = bars.source_file_id AND chosen.root = bars.root
)

-- Delete the rows that a build replaces or removes.
-- Reads $deleted. Parameters: root, first, last.
DELETE FROM `$table` AS t
WHERE t.symbol = @root AND t.$date BETWEEN @first AND @last
  AND EXISTS (SELECT 1 FROM `$deleted` AS d WHERE d.$date = t.$date)

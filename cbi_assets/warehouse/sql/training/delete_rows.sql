-- Delete the rows that a build replaces or removes.
-- Tables: $rewritten, $deleted. $date is their column. Parameters: root, first, last.
DELETE FROM `$rewritten` AS t
WHERE t.symbol = @root AND t.$date BETWEEN @first AND @last
  AND EXISTS (SELECT 1 FROM `$deleted` AS d WHERE d.$date = t.$date)

-- Delete the rows of files that are validated again, from any partition.
-- Tables: $target, $date, $column, $chosen.
DELETE FROM `$target`
WHERE $date BETWEEN DATE '1900-01-01' AND DATE '2200-01-01'
  AND $column IN (SELECT chosen.file_id FROM `$chosen` AS chosen)

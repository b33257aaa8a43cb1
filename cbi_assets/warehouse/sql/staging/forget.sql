-- Take out what files gave that are judged anew, wherever its dates lie.
DELETE FROM `$held`
WHERE $date BETWEEN DATE '1900-01-01' AND DATE '2200-01-01'
  AND $column IN (SELECT chosen.file_id FROM `$chosen` AS chosen)

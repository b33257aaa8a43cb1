-- Take out what files gave that are judged anew.
DELETE FROM `$table`
WHERE $column IN (SELECT chosen.file_id FROM `$chosen` AS chosen)

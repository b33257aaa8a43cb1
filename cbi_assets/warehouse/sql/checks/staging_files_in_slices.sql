-- Count the files of staging that a month of a raw table has bars of. One row.
-- Reads ops.check_slices, ops.staging_files. Parameters: none.
SELECT COUNT(DISTINCT files.file_id) AS files
FROM `ops.staging_files` AS files
JOIN `ops.check_slices` AS slices ON STRPOS(slices.files, files.file_id) > 0

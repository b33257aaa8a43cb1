-- Replace rows by targets with the features of their matrix rows, and with nothing else.
-- Tables: $rewritten (columns, values), $staged, features.daily_ml_matrix_flat.
-- $key bounds the deleted rows, of which $date is one of the dates. Parameters: root,
-- first_key, last_key, dates, first, last (data_date of the first and last matrix row that is used).
MERGE INTO `$rewritten` AS t
USING (
  SELECT
    @root AS symbol, own.*, flat.* EXCEPT (symbol, data_date), flat.regime_weight AS training_weight
  FROM `$staged` AS own
  LEFT JOIN (
    SELECT * FROM `features.daily_ml_matrix_flat` AS matrix
    WHERE matrix.symbol = @root AND matrix.data_date BETWEEN @first AND @last
  ) AS flat ON flat.data_date = own.data_date
) AS fresh
ON FALSE
WHEN NOT MATCHED BY SOURCE AND t.symbol = @root AND t.$key BETWEEN @first_key AND @last_key
  AND t.$date IN UNNEST(@dates) THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ($columns) VALUES ($values)

-- Insert targets with the features of their matrix rows, and with nothing else.
-- Tables: $rewritten (columns), $staged, features.daily_ml_matrix_flat.
-- Parameters: root, first, last (data_date of the first and last matrix row that is used).
INSERT INTO `$rewritten` ($columns)
SELECT
  @root AS symbol, own.*, flat.* EXCEPT (symbol, data_date), flat.regime_weight AS training_weight
FROM `$staged` AS own
LEFT JOIN (
  SELECT * FROM `features.daily_ml_matrix_flat` AS matrix
  WHERE matrix.symbol = @root AND matrix.data_date BETWEEN @first AND @last
) AS flat ON flat.data_date = own.data_date

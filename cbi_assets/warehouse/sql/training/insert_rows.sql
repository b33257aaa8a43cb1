-- Insert targets with the features of their matrix rows, and with nothing else.
-- Tables: $rewritten (columns), $staged, features.daily_ml_matrix_flat. Parameter: root.
INSERT INTO `$rewritten` ($columns)
SELECT
  @root AS symbol, own.*, flat.* EXCEPT (symbol, data_date), flat.regime_weight AS training_weight
FROM `$staged` AS own
LEFT JOIN (
  SELECT * FROM `features.daily_ml_matrix_flat` AS matrix WHERE matrix.symbol = @root
) AS flat ON flat.data_date = own.data_date

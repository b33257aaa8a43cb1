-- Select the sessions in which the vendor's ROOT.v.0 traded less than a share of its usual volume, the
-- mean of the sessions before: it stood on a dead contract. One row per root and trade date.
-- Reads $table (sessions), the $dates sessions before each. Parameters: roots, share.
WITH sessions AS (
  SELECT
    root, symbol, trade_date, built_from, volume,
    AVG(volume) OVER before AS usual_volume, COUNT(*) OVER before AS dates_before
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND symbol = CONCAT(root, '.v.0')
  WINDOW before AS (
    PARTITION BY symbol, built_from ORDER BY trade_date ROWS BETWEEN $dates PRECEDING AND 1 PRECEDING
  )
)
SELECT
  root, symbol, trade_date, built_from, volume, usual_volume,
  COUNT(*) OVER (PARTITION BY root) AS offenders
FROM sessions
WHERE dates_before = $dates AND volume < @share * usual_volume
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY trade_date) <= 20

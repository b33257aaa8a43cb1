-- Compare our front month with the contract that ROOT.v.0 maps to, on trade dates where both
-- are known. The vendor's is that of the session's last bar: the outright with its instrument id
-- on that UTC day. One row per root and mismatched trade date; without one, one row per root.
-- Reads $table, $daily, $hourly. Parameters: roots, percent.
WITH bars AS (
  SELECT root, kind, contract, instrument_id, trade_date, ts_event
  FROM `$daily`
  WHERE root IN UNNEST(@roots) AND (kind = 'outright' OR symbol = CONCAT(root, '.v.0'))
  UNION ALL
  SELECT root, kind, contract, instrument_id, trade_date, ts_event
  FROM `$hourly`
  WHERE root IN UNNEST(@roots) AND (kind = 'outright' OR symbol = CONCAT(root, '.v.0'))
),
names AS (
  SELECT DISTINCT root, instrument_id, DATE(ts_event) AS utc_date, contract
  FROM bars
  WHERE kind = 'outright'
),
vendors AS (
  SELECT bars.root, bars.trade_date, names.contract AS vendor_contract
  FROM bars
  JOIN names
    ON names.root = bars.root
    AND names.instrument_id = bars.instrument_id
    AND names.utc_date = DATE(bars.ts_event)
  WHERE bars.kind = 'continuous'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.root, bars.trade_date ORDER BY bars.ts_event DESC) = 1
),
rolls AS (
  SELECT
    root, roll_date, from_contract, to_contract, deadline,
    LAG(roll_date) OVER (PARTITION BY root ORDER BY roll_date) AS roll_before,
    LEAD(roll_date) OVER (PARTITION BY root ORDER BY roll_date) AS next_roll,
    LEAD(deadline) OVER (PARTITION BY root ORDER BY roll_date) AS next_deadline
  FROM `$table`
  WHERE root IN UNNEST(@roots)
),
-- no contract is the front month on the outrights' first date, or from a deadline to a later roll
periods AS (
  SELECT
    root, to_contract AS own_contract, roll_date AS first_date,
    LEAST(
      COALESCE(next_roll, DATE '9999-12-31'), COALESCE(next_deadline, DATE '9999-12-31')
    ) AS until_date
  FROM rolls
  UNION ALL
  SELECT
    rolls.root, rolls.from_contract, DATE_ADD(MIN(bars.trade_date), INTERVAL 1 DAY),
    LEAST(rolls.roll_date, COALESCE(rolls.deadline, rolls.roll_date))
  FROM rolls
  JOIN bars ON bars.root = rolls.root AND bars.kind = 'outright'
  WHERE rolls.roll_before IS NULL
  GROUP BY rolls.root, rolls.from_contract, rolls.roll_date, rolls.deadline
),
compared AS (
  SELECT vendors.root, vendors.trade_date, periods.own_contract, vendors.vendor_contract
  FROM vendors
  JOIN periods
    ON periods.root = vendors.root
    AND vendors.trade_date >= periods.first_date
    AND vendors.trade_date < periods.until_date
),
shares AS (
  SELECT root, COUNT(*) AS dates, COUNTIF(own_contract = vendor_contract) AS matching
  FROM compared
  GROUP BY root
)
SELECT
  shares.root, compared.trade_date, compared.own_contract, compared.vendor_contract,
  IF(100 * shares.matching < @percent * shares.dates, shares.dates - shares.matching, 0) AS offenders,
  CONCAT('at least ', CAST(@percent AS STRING), '%') AS expected,
  CONCAT(
    CAST(shares.matching AS STRING), ' of ', CAST(shares.dates AS STRING), ' trade dates match'
  ) AS actual
FROM shares
LEFT JOIN compared
  ON compared.root = shares.root AND compared.own_contract <> compared.vendor_contract
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY shares.root ORDER BY compared.trade_date) <= 20

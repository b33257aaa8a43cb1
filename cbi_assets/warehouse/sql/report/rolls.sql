-- Rolls in the unadjusted continuous series, with both contracts' close and volume on the day before
-- where the roll calendar knows them. One row per roll.
WITH series AS (
  SELECT
    root, date, active_contract AS contract, roll_flag,
    LAG(active_contract) OVER (PARTITION BY root ORDER BY date) AS from_contract
  FROM `market_data.databento_futures_continuous_1d`
  WHERE method = 'none'
)
SELECT
  series.root, series.date, series.from_contract, series.contract, rolls.from_close,
  rolls.to_close, rolls.from_volume, rolls.to_volume
FROM series
LEFT JOIN `market_data.roll_calendar` AS rolls
  ON rolls.root = series.root AND rolls.roll_date = series.date
WHERE series.roll_flag
ORDER BY series.root, series.date

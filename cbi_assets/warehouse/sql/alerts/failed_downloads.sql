-- Requests whose latest attempt failed or expired at Databento. One row per request.
SELECT jobs.plan_hash, jobs.request_id, jobs.root, jobs.schema, jobs.job_id, jobs.state
FROM `ops.download_jobs` AS jobs
WHERE jobs.state IN ('failed', 'expired')
  AND NOT EXISTS (
    SELECT 1
    FROM `ops.download_jobs` AS later
    WHERE later.request_id = jobs.request_id AND later.intended_at > jobs.intended_at
  )
ORDER BY jobs.plan_hash, jobs.request_id

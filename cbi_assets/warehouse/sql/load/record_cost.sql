-- Record what a load cost.
-- Parameters: @load_id, @jobs, @bytes_uploaded, @bytes_billed, @slot_ms, @recorded_at.
INSERT INTO `ops.load_costs` (load_id, jobs, bytes_uploaded, bytes_billed, slot_ms, recorded_at)
SELECT @load_id, @jobs, @bytes_uploaded, @bytes_billed, @slot_ms, @recorded_at

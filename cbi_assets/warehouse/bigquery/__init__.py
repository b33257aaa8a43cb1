"""BigQuery as the warehouse: the same tables, SQL and promises as the embedded one."""

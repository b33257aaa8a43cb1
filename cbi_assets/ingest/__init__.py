"""From landed records to audited tables: load, unload, the books and the checks."""

"""The audit and the alerts."""

"""Alerts: what stands, who is told of it, and that it is told once."""

"""Alerts: which events are active, and that each is sent once."""

"""Databento's HTTP API: quotes, batch jobs and their files."""

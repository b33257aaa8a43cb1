"""Audit what is new on the drive and publish it, or unload it again."""

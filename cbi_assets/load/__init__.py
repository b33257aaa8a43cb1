"""Audit what is new on the drive and publish it, or take it out again."""

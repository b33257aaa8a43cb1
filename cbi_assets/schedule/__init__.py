"""Unattended runs: the machine's own scheduler starts a script of this home."""

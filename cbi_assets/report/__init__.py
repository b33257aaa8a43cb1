"""The audit: the project's state read once, and written as Markdown, HTML and JSON."""

from cbi_assets.report.audit_model import Audit
from cbi_assets.report.take_audit import take_audit
from cbi_assets.report.write import Written, write_audit

__all__ = ["Audit", "Written", "take_audit", "write_audit"]

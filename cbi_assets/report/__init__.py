"""The audit: the project's state read once, and written as Markdown, HTML and JSON."""

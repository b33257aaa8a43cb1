"""What has been done and what is owed: books, versions, pending events, check results."""

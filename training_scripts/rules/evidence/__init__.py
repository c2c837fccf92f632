"""What a recording shows, read once for rules and insights."""

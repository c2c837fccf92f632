"""What a recording shows, computed once for rules and insights."""

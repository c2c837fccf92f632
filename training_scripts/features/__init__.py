"""Features: a backbone's output for every picture, computed once and stored."""

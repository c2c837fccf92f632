"""How a classifier asks: its options, payloads and retries, the labels it knows, many pictures at once."""

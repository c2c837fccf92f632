"""Data sets: check, convert, split, download and upload them."""

"""What `fuzz_pictures.py` and `fuzz_requests.py` send, and how they judge what comes back."""

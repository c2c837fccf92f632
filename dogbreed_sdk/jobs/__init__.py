"""Training jobs and tuning jobs: start them, follow them, find out why they failed."""

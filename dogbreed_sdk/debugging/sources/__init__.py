"""Finds a recorded run wherever it is: a job, a folder, or S3."""

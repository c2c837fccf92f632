"""Checks before the first job: this machine, this installation, and the AWS account."""

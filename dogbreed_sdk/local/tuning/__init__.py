"""Runs tuning jobs: proposes hyperparameters and stops unpromising trials early."""

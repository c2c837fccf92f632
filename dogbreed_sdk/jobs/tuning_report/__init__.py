"""The report on a tuning job: its trials, what mattered among the hyperparameters, and what to search next."""

"""Amazon Web Services: the account, storage, logs, and errors."""

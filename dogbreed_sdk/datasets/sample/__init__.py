"""The drawn sample data set: dogs of invented breeds."""

"""Trains a network: hyperparameters, epochs, checkpoints, early stopping, metrics and evaluation."""

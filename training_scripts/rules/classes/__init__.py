"""Rules that judge classes: imbalance and confusion."""

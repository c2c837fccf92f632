"""Rules about classes: imbalance and confusion."""

"""Rules that judge the loss: overfitting, a loss that does not decrease, stalled training."""

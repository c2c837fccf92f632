"""Rules about the loss: overfitting, a loss that does not decrease, stalled training."""

"""Records a run while it trains: losses, metrics and tensors."""

"""Backbones, heads and the bundle that a trained model is stored in."""

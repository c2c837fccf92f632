"""Rules that judge tensors: gradients, weights, activations and input images."""

"""Rules about tensors: gradients, weights, activations and input images."""

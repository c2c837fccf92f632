"""The client of a model: pictures in, predictions out."""

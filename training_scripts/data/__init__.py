"""Reads image-folder data sets and turns pictures into a network's input."""

"""What our recorder calls the tensors of a run; parameters and activations have smdebug's names."""

from __future__ import annotations

LOSS, ACCURACY = "CrossEntropyLoss_output_0", "accuracy"
LABELS, PREDICTIONS, VALID_LOSSES = "labels", "predictions", "valid_losses"
CLASS_COUNTS, INPUT_IMAGE = "class_counts", "input_image"

PER_RUN = frozenset({LABELS, PREDICTIONS, VALID_LOSSES, CLASS_COUNTS, INPUT_IMAGE})
"""Tensors that are always recorded whole: small ones, which no number could stand for."""

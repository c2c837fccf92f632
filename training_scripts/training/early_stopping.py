"""Early stopping: decides after each epoch whether a run has gone too long without a better epoch.

The hyperparameter `patience` sets how long. Rules can end a run too (`recording/recorder/rule_callback.py`).
"""

from __future__ import annotations

from training_scripts._util.number_text import counted


def reason(epoch: int, best_epoch: int, *, patience: int) -> str | None:
    """Why a run should stop now; None to continue.

    Args:
        epoch: Epochs done.
        best_epoch: The epoch with the lowest valid loss; the latest epoch if there is no valid split.
        patience: Epochs without a better valid loss after which to stop; 0 never stops.

    >>> reason(7, 4, patience=3), reason(6, 4, patience=3), reason(90, 4, patience=0)
    ('no better valid loss for 3 epochs', None, None)
    """
    if not patience or epoch - best_epoch < patience:
        return None
    return f"no better valid loss for {counted(patience, 'epoch')}"

"""Runs `registering_script.py` as a local job would, in any Python."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from dogbreed_sdk.local import start_up
from training_scripts.recording.trial.layout import END_FILE

SCRIPT = Path(__file__).with_name("registering_script.py")
ALL = ("none", "functional", "fresh", "model", "loss", "both", "late", "value", "bfloat16")
HOOK = {
    "HookParameters": {"save_interval": "2", "reductions": "min,abs_mean,l2_norm,variance"},
    "CollectionConfigurations": [
        {"CollectionName": "weights"},
        {"CollectionName": "gradients", "CollectionParameters": {"train.save_interval": "3"}},
        {"CollectionName": "losses", "CollectionParameters": {"save_interval": "1"}},
        {"CollectionName": "activations", "CollectionParameters": {"include_regex": ".*relu_output"}},
    ],
}


def record(python: str | Path, folder: Path, hows: tuple[str, ...]) -> dict[str, Path]:
    """Runs the script in its ways; gives the trial of each."""
    for how in hows:
        (folder / how).mkdir(parents=True)
        (folder / how / "hook.json").write_text(json.dumps({**HOOK, "LocalPath": str(folder / how / "trial")}))
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, start_up.module_folders(SCRIPT.parent))),
        "SMDEBUG_CONFIG_FILE_PATH": str(folder / hows[0] / "hook.json"),
        "SMPROFILER_CONFIG_PATH": str(folder / "none.json"),
        "CHECKPOINT_CONFIG_FILE_PATH": str(folder / "none.json"),
        "TENSORBOARD_CONFIG_FILE_PATH": str(folder / "none.json"),
        "TRAINING_JOB_NAME": "job",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [python, SCRIPT, folder, *hows], env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    trials = {how: folder / how / "trial" for how in hows}
    for trial in trials.values():
        trial.mkdir(exist_ok=True)
        (trial / END_FILE).touch()  # SageMaker's, not the script's
    return trials

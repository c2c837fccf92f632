"""Models of a few lines for endpoints: each gives one class the larger score, and loads in milliseconds."""

from __future__ import annotations

import tarfile
from pathlib import Path

from PIL import Image

LABELS = ("001.Boxer", "002.Pug")
PICTURE = Image.new("RGB", (8, 8))
CODE = """
def model_fn(model_dir, context=None):
    return {scores}

def input_fn(body, content_type):
    if bytes(body[:4]) == b"fail":
        raise ValueError("not a picture")
    return body

def predict_fn(data, model):
    return [model]
"""


def model(folder: Path, label: str, *, code: str = CODE) -> str:
    """URI of an archive whose model answers with this label."""
    made = folder / label
    made.mkdir(parents=True, exist_ok=True)
    scores = [0.9 if each == label else 0.1 for each in LABELS]
    (made / "inference.py").write_text(code.replace("{scores}", repr(scores)))
    path = made / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(made / "inference.py", "code/inference.py")
    return path.as_uri()

"""A model of nothing but code, for tests of everything around a model: a picture's width says what it does."""

from __future__ import annotations

import tarfile
from pathlib import Path

from PIL import Image

ANSWERED, FAILS, SLEEPS, BUSY, REFUSED = range(1, 6)
CODE = """
import io, json, time
from PIL import Image

class Status(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.status_code = code

def model_fn(model_dir): return []
def input_fn(body, content_type): return Image.open(io.BytesIO(body)).width
def predict_fn(width, seen):
    if width == 2: raise ValueError("no dog in it")
    if width == 3: time.sleep(0.8)
    if width == 4 and len(seen) < 1:
        seen.append(width)
        raise Status(429, "later")
    if width == 5: raise Status(422, "not a picture of a dog")
    return width
def output_fn(width, accept):
    probability = 1 - 1 / (width + 9)
    return json.dumps({"model_id": "m", "predictions": [{"scores": [
        {"label": "Pug", "class_folder": "002.Pug", "index": 1, "probability": probability},
        {"label": "Boxer", "class_folder": "001.Boxer", "index": 0, "probability": 1 - probability},
    ]}]}), "application/vnd.dogbreed+json"
"""


def picture(width: int) -> Image.Image:
    return Image.new("RGB", (width, 5), (200, 10, 10))


def pack_model(folder: Path) -> Path:
    """The model's model.tar.gz, made in a folder that exists."""
    (folder / "code").mkdir()
    (folder / "code/inference.py").write_text(CODE)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "code", "code")
    return folder / "model.tar.gz"

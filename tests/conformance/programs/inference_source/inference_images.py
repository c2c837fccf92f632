# For pictures, with functions of its own as the common project has them.
import io
import json
import logging
import sys

import torch
import torchvision.transforms as transforms
from inference import model_fn  # noqa: F401
from PIL import Image

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))


def input_fn(request_body, content_type="image/jpeg"):
    logger.info(f"Incoming request: {content_type}")
    if content_type == "image/jpeg":
        return Image.open(io.BytesIO(request_body))
    if content_type == "application/json":
        return Image.new("RGB", json.loads(request_body)["size"])
    raise Exception("Requested unsupported ContentType in content_type: {}".format(content_type))


def predict_fn(input_object, model):
    transform = transforms.Compose([transforms.Resize((48, 48)), transforms.ToTensor()])
    with torch.no_grad():
        return model(transform(input_object).unsqueeze(0))

# Only model_fn: what decodes requests and encodes answers is the container's default.
import os

import torch
from network import net


def model_fn(model_dir):
    with open(os.path.join(model_dir, "classes.txt")) as file:
        classes = file.read().splitlines()
    model = net(len(classes))
    with open(os.path.join(model_dir, "model.pth"), "rb") as file:
        model.load_state_dict(torch.load(file, map_location="cpu"))
    return model.eval()

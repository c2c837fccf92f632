"""What the container image that a request names means for scripts and models, which run without containers here.

They run with the PyTorch that is installed on this machine, which may be newer than the image's.
"""

from __future__ import annotations

import re

# AWS's images for PyTorch: pytorch-training:1.13-cpu-py39, huggingface-pytorch-inference:2.1.0-transformers4.37.0-...,
# sagemaker-pytorch:0.4.0-cpu-py3.
_PYTORCH = re.compile(r"(?:^|/)(?:huggingface-|sagemaker-)?pytorch[a-z-]*:(\d+)\.(\d+)")
# From this version on, torch.load reads only tensors and plain values unless the call has weights_only=False.
_WEIGHTS_ONLY = (2, 6)
_LOAD_WHOLE_MODELS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


def image_environment(image: str | None) -> dict[str, str]:
    """The variables that give a newer PyTorch the defaults of the image's.

    Before PyTorch 2.6, `torch.load(path)` loaded models that `torch.save(model, path)` had saved whole. Code written
    for such an image relies on that. The variable has no effect on calls that have weights_only.

    Args:
        image: The image's URI; None if the request has none.

    >>> image_environment("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:1.13-cpu-py39")
    {'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1'}
    >>> image_environment("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312")
    {}
    >>> image_environment("my-own-image:1.0")
    {}
    """
    found = _PYTORCH.search(image or "")
    if found is None or (int(found[1]), int(found[2])) >= _WEIGHTS_ONLY:
        return {}
    return dict(_LOAD_WHOLE_MODELS)

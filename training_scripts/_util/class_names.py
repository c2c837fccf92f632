"""The display name of a class folder, as models return it and the SDK and its pages show it."""

from __future__ import annotations

import re

# "009.American_water_spaniel" (Udacity's dog breeds) and "n02085620-Chihuahua" (ImageNet's synset ids).
_FOLDER_PREFIX = re.compile(r"^(?:\d+[.]|n\d{8}-)(?=.)")


def display_name(class_folder: str) -> str:
    """The label of a class folder: its name without number or synset id, with spaces for underscores.

    >>> display_name("009.American_water_spaniel"), display_name("n02085620-Chihuahua"), display_name("Pug")
    ('American water spaniel', 'Chihuahua', 'Pug')
    """
    return _FOLDER_PREFIX.sub("", class_folder).replace("_", " ").strip() or class_folder

"""Explanation: a prediction, and a heat map of where in the picture the evidence for a class is."""

from __future__ import annotations

import functools
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util import optional
from dogbreed_sdk.errors import ModelError
from dogbreed_sdk.pages.thumbnails import of_image
from dogbreed_sdk.predictions import Prediction
from training_scripts._util.class_names import display_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

CONTENT_TYPE = "application/vnd.dogbreed.explanation+json"
# A picture to look at; a heat map of a photograph's own size would take a hundred megabytes.
LONGEST_SIDE = 1600
_SHOWN_SIDE = 448  # in a notebook
# Colors from cold to hot, each with its opacity, at equal distances: those of matplotlib's "inferno", which darkens
# nothing where there is no evidence, and can be told apart without seeing red and green.
_COLORS = (
    (66, 10, 104, 0),
    (106, 23, 110, 75),
    (165, 44, 96, 110),
    (221, 81, 58, 130),
    (251, 155, 6, 145),
    (252, 230, 90, 155),
)
# Fur and grass have the colors of the heat map, so the picture below it is nearly gray; what the model did not see is
# darker.
_COLOR_LEFT = 0.25
_BRIGHTNESS_UNSEEN = 0.45


@dataclass(frozen=True)
class Explanation:
    """Where in a picture the evidence for a class is.

    Attributes:
        prediction: What `BreedClassifier.classify` returns for the picture.
        label: The explained class: the most probable one unless another was asked for.
        class_folder: Its class folder.
        index: Its index.
        picture: The picture as the model's preprocessing reads it: upright, RGB, at most 1600 pixels per side.
        box: The part of it that the model saw: left, top, right, bottom, in pixels. The preprocessing cuts off the
            rest.
        contributions: What each part of `box` adds to the class's logit: rows of equal length, from the top, such as
            7 x 7. For a linear head on averaged features, their mean is the logit less its bias. Negative values
            speak against the class.

    Examples:
        >>> explanation = BreedClassifier.from_bundle("model.tar.gz").explain("rex.jpg", label="Beagle")
        >>> explanation.prediction.label, explanation.label
        ('Basset hound', 'Beagle')
        >>> explanation.overlay().save("why.png")
    """

    prediction: Prediction
    label: str
    class_folder: str
    index: int
    picture: Image.Image = field(repr=False, compare=False)
    box: tuple[float, float, float, float]
    contributions: tuple[tuple[float, ...], ...] = field(repr=False)

    @property
    def heatmap(self) -> npt.NDArray[np.float32]:
        """The evidence for the class: float32 [h, w], one value per pixel of `picture`, 1 for the strongest part.

        It is 0 where the evidence speaks against the class, outside of `box`, and everywhere if nothing speaks for it.

        Raises:
            ConfigurationError: NumPy is not installed.
        """
        with optional.needed(extra="local", purpose="compute with a heat map"):
            import numpy as np  # noqa: PLC0415 - clients of endpoints do not need it
        return np.clip(np.asarray(self._heat, np.float32), 0.0, 1.0)

    def layer(self) -> Image.Image:
        """The heat map in colors, of the size of `picture`; transparent where there is no evidence (RGBA)."""
        from PIL import Image  # noqa: PLC0415 - most predictions need no Pillow

        level = self._heat.point(lambda value: value * 255.0 + 0.5).convert("L")  # clips to 0 … 255
        return Image.merge("RGBA", [level.point(_ramp(channel)) for channel in range(4)])

    def overlay(self) -> Image.Image:
        """The picture with the heat map over it (RGB); the parts that the model did not see are darker."""
        from PIL import Image, ImageEnhance  # noqa: PLC0415 - most predictions need no Pillow

        pale = ImageEnhance.Color(self.picture).enhance(_COLOR_LEFT)
        shown = ImageEnhance.Brightness(pale).enhance(_BRIGHTNESS_UNSEEN)
        box = _whole(self.box, self.picture.size)
        shown.paste(pale.crop(box), box[:2])
        return Image.alpha_composite(shown.convert("RGBA"), self.layer()).convert("RGB")

    def to_dict(self) -> dict[str, object]:
        """The explanation as JSON-ready values, with stable keys; the pictures are left out."""
        return {
            "prediction": self.prediction.to_dict(),
            "label": self.label,
            "class_folder": self.class_folder,
            "index": self.index,
            "picture_size": list(self.picture.size),
            "box": list(self.box),
            "contributions": [list(row) for row in self.contributions],
        }

    def __str__(self) -> str:
        return f"why {self.label}: {self.prediction}"

    def _repr_html_(self) -> str:
        source = of_image(self.overlay(), size=_SHOWN_SIDE)
        where = nothing_for(self) or f"Where the evidence for {self.label} is."
        caption = html.escape(f"{where} The prediction: {self.prediction}")
        return (
            f'<figure style="margin:0"><img src="{source}" alt="{caption}" style="max-width:min(100%,28rem)">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    @functools.cached_property
    def _heat(self) -> Image.Image:
        """The heat map as a picture of floating-point numbers; those below 0 and above 1 remain to be clipped."""
        from PIL import Image  # noqa: PLC0415 - most predictions need no Pillow

        whole = Image.new("F", self.picture.size)
        left, top, right, bottom = _whole(self.box, self.picture.size)
        strongest = max(map(max, self.contributions))
        if strongest <= 0:
            return whole
        grid = Image.new("F", (len(self.contributions[0]), len(self.contributions)))
        grid.putdata([value / strongest for row in self.contributions for value in row])
        whole.paste(grid.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
        return whole


def nothing_for(explanation: Explanation) -> str:
    """A sentence that nothing speaks for the explained class; empty if a part of the picture does."""
    if any(value > 0 for row in explanation.contributions for value in row):
        return ""
    return f"Nothing in the picture speaks for {explanation.label}."


def parse(body: bytes, prediction: Prediction, picture: Image.Image, *, labels: Sequence[str]) -> Explanation:
    """Parses a model's explanation of a picture.

    Args:
        body: The body of a response in `CONTENT_TYPE`.
        prediction: The prediction in it.
        picture: The picture, as `training_scripts.data.decoding.decode` reads it.
        labels: The class folders, in index order.

    Raises:
        ModelError: The response contains no explanation.
    """
    from training_scripts.data import preprocessing  # noqa: PLC0415 - clients of endpoints need no Pillow

    try:
        answer: Any = json.loads(body)
        index = answer["explanation"]["index"]
        grid = _grid(answer["explanation"]["contributions"])
        cut = answer["preprocessing"]
        box = preprocessing.seen_box(
            picture.size, resize=cut["resize"], crop=cut["crop"], resize_mode=cut.get("resize_mode", "crop")
        )
        folder = labels[index]
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise ModelError(f"The model's response contains no explanation: {error!r}") from error
    shown = picture
    if max(picture.size) > LONGEST_SIDE:
        shown = picture.copy()
        shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    across, down = shown.width / picture.width, shown.height / picture.height
    scaled = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    return Explanation(prediction, display_name(folder), folder, index, shown, scaled, grid)


def _grid(values: Any) -> tuple[tuple[float, ...], ...]:
    rows = tuple(tuple(float(value) for value in row) for row in values)
    if len({len(row) for row in rows}) != 1 or not rows[0] or not all(map(math.isfinite, sum(rows, ()))):
        raise ValueError("the contributions are not rows of finite numbers")
    return rows


def _whole(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels, at least one wide and high."""
    left, top = (min(max(0, round(edge)), side - 1) for edge, side in zip(box[:2], size, strict=True))
    right, bottom = (min(round(edge), side) for edge, side in zip(box[2:], size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _ramp(channel: int) -> list[int]:
    """One channel of the colors for the 256 levels of the heat map."""
    steps = len(_COLORS) - 1
    found = []
    for level in range(256):
        place = level / 255 * steps
        lower = min(int(place), steps - 1)
        low, high = _COLORS[lower][channel], _COLORS[lower + 1][channel]
        found.append(round(low + (high - low) * (place - lower)))
    return found

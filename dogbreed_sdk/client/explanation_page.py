"""An explanation as one HTML page: the picture, the heat map over it, the ranked classes, similar training pictures."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk.client.explanation import Explanation, nothing_for
from dogbreed_sdk.client.resemblance import Resemblance
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.document import filled_page
from dogbreed_sdk.pages.markup import Markup, element, inner, table
from dogbreed_sdk.pages.sections import section
from dogbreed_sdk.pages.thumbnails import of_image, thumbnail
from training_scripts._util.number_text import probability_text

_PICTURE_PIXELS = 720
_THUMBNAIL_PIXELS = 240
_STYLE = "main > h1 { margin-top: 2rem; }"


def document(explanation: Explanation, similar: Sequence[Resemblance], *, name: str) -> bytes:
    """The page, encoded as UTF-8.

    Args:
        explanation: What to show.
        similar: The training pictures that the picture resembles; the section is left out without any.
        name: The name of the picture.
    """
    sections = [("evidence", "Evidence"), ("classes", "Classes"), *([("similar", "Similar")] if similar else [])]
    prediction = explanation.prediction
    body = [
        element("h1", f"Why {explanation.label}?"),
        element("p", f"{name}: {prediction}", class_="about"),
        section("evidence", "Where the evidence is", _pair(explanation), lead=_lead(explanation)),
        section(
            "classes",
            "The most probable classes",
            table(
                ("Class", "Probability", ""),
                [
                    (each.label, share, bar(each.probability, label=share))
                    for each in prediction.scores
                    for share in (probability_text(each.probability),)
                ],
                numeric=(1,),
            ),
        ),
    ]
    if similar:
        lead = "Nearest by the features that the model computes; 1 is the same picture."
        pictures = element("div", [_similar(each) for each in similar], class_="pictures")
        body.append(section("similar", "Training pictures that it resembles", pictures, lead=lead))
    return filled_page(
        brand="Explanation",
        title=f"Why {explanation.label}? {name}",
        sections=sections,
        body=inner(body),
        style=_STYLE,
    )


def _lead(explanation: Explanation) -> str:
    nothing = nothing_for(explanation)
    text = nothing or f"The brighter, the more a part of the picture speaks for {explanation.label}."
    if not nothing and sum(map(sum, explanation.contributions)) < 0:
        text += " Taken together, its parts speak against it."
    left, top, right, bottom = explanation.box
    width, height = explanation.picture.size
    if left > 1 or top > 1 or right < width - 1 or bottom < height - 1:
        text += " The model did not see the darker edges: its preprocessing cuts them off."
    return text


def _pair(explanation: Explanation) -> Markup:
    shown = of_image(explanation.picture, size=_PICTURE_PIXELS)
    heat = of_image(explanation.overlay(), size=_PICTURE_PIXELS)
    return element(
        "div",
        element("figure", element("img", src=heat, alt=f"The evidence for {explanation.label}, as a heat map")),
        element("figure", element("img", src=shown, alt="The picture")),
        class_="pictures large",
    )


def _similar(each: Resemblance) -> Markup:
    image = element("img", src=thumbnail(each.path, size=_THUMBNAIL_PIXELS), alt="") if each.path is not None else None
    caption = element("figcaption", each.label, element("small", f"{each.similarity:.3f}  {each.picture}"))
    return element("figure", image, caption)

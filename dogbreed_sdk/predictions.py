"""The result of a classification: a Prediction with its ranked BreedScores, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from training_scripts._util.number_text import probability_text
from training_scripts._util.safe_text import printable

# Classes that a notebook shows of a prediction.
_SHOWN = 10


class Rejection(NamedTuple):
    """Whether a picture looks like none of the classes, with its score and the model's threshold."""

    rejected: bool
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class BreedScore:
    """A class and its probability.

    Attributes:
        label: Display name, "American water spaniel".
        class_folder: Name of the class's folder in the data set, "009.American_water_spaniel".
        index: Position of the class in the model's output, from 0.
        probability: Between 0 and 1; the probabilities of all classes add up to 1.

    Examples:
        >>> for score in classifier.classify("rex.jpg").scores:
        ...     print(f"{score.label}: {score.probability:.0%}")
        Basset hound: ...%
        Beagle: ...%
        Labrador retriever: ...%
    """

    label: str
    class_folder: str
    index: int
    probability: float

    def to_dict(self) -> dict[str, object]:
        """The score as values for JSON; the keys are stable."""
        return {
            "label": self.label,
            "class_folder": self.class_folder,
            "index": self.index,
            "probability": self.probability,
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classification of one picture.

    Attributes:
        label: Display name of the most probable class.
        class_folder: Name of that class's folder in the data set.
        index: Position of that class in the model's output, from 0; not the number in the folder's name.
        folder_number: The number at the start of the folder's name, 9 for "009.American_water_spaniel", or None.
        probability: Probability of that class, between 0 and 1.
        rejected: Whether the picture looks like none of the classes; None if the model has no rejection rule.
        rejection_score: How little the picture resembles any class; None if the model has no rejection rule.
        rejection_threshold: The score above which pictures are rejected, fitted during training; or None.
        scores: The requested number of classes, most probable first.
        model_id: SHA-256 of the model's weights; None if the endpoint does not return it.
        latency_ms: Milliseconds from sending the request to parsing the response; None if nothing was sent.
        request_id: Id of the request, to quote to AWS's support; or None.
        variant: Name of the endpoint's production variant that answered; or None.
        picture: Path of the picture if it was given as one; or None. A notebook shows it.

    Examples:
        >>> prediction = classifier.classify("rex.jpg")
        >>> print(prediction)
        Basset hound (...%)
        >>> prediction.label, prediction.class_folder, prediction.index, prediction.folder_number
        ('Basset hound', '002.Basset_hound', 0, 2)
    """

    label: str
    class_folder: str
    index: int
    folder_number: int | None
    probability: float
    scores: tuple[BreedScore, ...] = field(repr=False)
    model_id: str | None = None
    latency_ms: float | None = None
    request_id: str | None = None
    rejected: bool | None = None
    rejection_score: float | None = None
    rejection_threshold: float | None = None
    variant: str | None = None
    picture: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """The label and its probability.

        >>> print(Prediction.from_scores((BreedScore("Pug", "002.Pug", 1, 0.756),)))
        Pug (76%)
        """
        doubt = ", probably none of the classes" if self.rejected else ""
        return f"{printable(self.label)} ({probability_text(self.probability)}{doubt})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.pages.prediction import prediction_card  # noqa: PLC0415 - only notebooks need it

        return prediction_card(
            str(self),
            [(score.label, score.probability) for score in self.scores[:_SHOWN]],
            rejected=bool(self.rejected),
            latency_ms=self.latency_ms,
            picture=self.picture,
        )

    @classmethod
    def from_scores(
        cls,
        scores: tuple[BreedScore, ...],
        *,
        model_id: str | None = None,
        latency_ms: float | None = None,
        request_id: str | None = None,
        rejection: Rejection | None = None,
        variant: str | None = None,
    ) -> Prediction:
        """Creates a prediction from ranked scores.

        Args:
            scores: At least one, most probable first.
            model_id: SHA-256 of the weights, if known.
            latency_ms: Milliseconds that the call took, if there was one.
            request_id: Id of the call, if there was one.
            rejection: The result of the model's rejection rule, if it has one.
            variant: Name of the production variant that answered, if an endpoint did.

        Raises:
            ValueError: There are no scores, or they are not ranked.

        Examples:
            >>> best = BreedScore("Pug", "002.Pug", 1, 0.75)
            >>> prediction = Prediction.from_scores((best, BreedScore("Boxer", "001.Boxer", 0, 0.25)))
            >>> prediction.label, prediction.index, prediction.folder_number
            ('Pug', 1, 2)
        """
        if not scores:
            raise ValueError("a prediction needs at least one score")
        if any(before.probability < after.probability for before, after in pairwise(scores)):
            raise ValueError("the scores of a prediction must be ranked, most probable first")
        best = scores[0]
        rejected, rejection_score, rejection_threshold = rejection or (None, None, None)
        return cls(
            label=best.label,
            class_folder=best.class_folder,
            index=best.index,
            folder_number=folder_number(best.class_folder),
            probability=best.probability,
            scores=scores,
            model_id=model_id,
            latency_ms=latency_ms,
            request_id=request_id,
            rejected=rejected,
            rejection_score=rejection_score,
            rejection_threshold=rejection_threshold,
            variant=variant,
        )

    def to_dict(self) -> dict[str, object]:
        """The prediction as values for JSON; the keys are stable."""
        return {
            "label": self.label,
            "class_folder": self.class_folder,
            "index": self.index,
            "folder_number": self.folder_number,
            "probability": self.probability,
            "rejected": self.rejected,
            "rejection_score": self.rejection_score,
            "rejection_threshold": self.rejection_threshold,
            "scores": [score.to_dict() for score in self.scores],
            "model_id": self.model_id,
            "latency_ms": self.latency_ms,
            "request_id": self.request_id,
            "variant": self.variant,
        }


def folder_number(class_folder: str) -> int | None:
    """The number at the start of a class folder's name; None if there is none.

    >>> folder_number("009.American_water_spaniel"), folder_number("Pug")
    (9, None)
    """
    number, dot, _ = class_folder.partition(".")
    return int(number) if dot and number.isascii() and number.isdigit() else None

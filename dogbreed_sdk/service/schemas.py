"""The JSON documents of requests and responses: described in OpenAPI, and used to validate requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from pydantic.config import JsonDict

DEFAULT_TOP_K = 5
MOST_TOP_K = 1000

TopK = Annotated[int, Field(ge=1, le=MOST_TOP_K, description="Number of classes to rank.")]

_PUG: JsonDict = {"label": "Pug", "class_folder": "002.Pug", "index": 1, "probability": 0.93}
_PREDICTION: JsonDict = {
    **_PUG,
    "folder_number": 2,
    "rejected": False,
    "rejection_score": 0.37,
    "rejection_threshold": 0.454,
    "scores": [_PUG, {"label": "Boxer", "class_folder": "001.Boxer", "index": 0, "probability": 0.07}],
    "model_id": "9f2c…",
    "latency_ms": 11.3,
    "request_id": None,
    "variant": None,
}
_PROBLEM: JsonDict = {
    "type": "/problems/unsupported-image",
    "title": "The picture cannot be read",
    "status": 415,
    "detail": "The picture is empty (0 bytes).",
    "request_id": "6f0d1c2b3a494857a6b5c4d3e2f10123",
}


class Score(BaseModel):
    """One class and its probability."""

    label: str = Field(description="Display name.")
    class_folder: str = Field(description="Name of the class's folder in the data set.")
    index: int = Field(description="Position in the model's output, from 0.")
    probability: float = Field(description="From 0 to 1; the probabilities of all classes add up to 1.")


class PredictionAnswer(Score):
    """The prediction for a picture: the most probable class, and the top classes, ranked."""

    model_config = ConfigDict(json_schema_extra={"example": _PREDICTION})

    folder_number: int | None = Field(description="The number at the beginning of the folder's name, if any.")
    rejected: bool | None = Field(
        description="Whether the picture looks like none of the classes; null if the model has no rejection rule."
    )
    rejection_score: float | None = Field(description="The higher, the less the picture looks like any class.")
    rejection_threshold: float | None = Field(description="Pictures with a higher score are rejected.")
    scores: list[Score] = Field(description="The top classes, most probable first.")
    model_id: str | None = Field(description="SHA-256 of the model's weights.")
    latency_ms: float | None = Field(description="Duration of the call to the endpoint in milliseconds.")
    request_id: str | None = Field(description="AWS's id of the call to the endpoint.")
    variant: str | None = Field(description="Name of the endpoint's production variant that answered, if any.")


class ClassifyAnswer(PredictionAnswer):
    """The prediction for a picture, with a preview if the request asked for one."""

    preview: str | None = Field(
        None, description="With preview=true: a small JPEG of the picture, as a data: URL; null if it cannot be shown."
    )


class ExplanationAnswer(BaseModel):
    """A prediction, and where in the picture the evidence for a class is."""

    prediction: PredictionAnswer
    label: str = Field(description="The explained class: the most probable one, unless label chose another.")
    class_folder: str
    index: int
    box: list[float] = Field(
        description="The part of the picture that the model saw: left, top, right and bottom as shares of width and "
        "height; its preprocessing cuts off the rest."
    )
    contributions: list[list[float]] = Field(
        description="What each part of the box adds to the class's logit: rows of equal length, from the top."
    )
    heatmap: str = Field(
        description="The evidence in colors, transparent where there is none: a PNG of the picture's proportions, to "
        "lay over the upright picture, as a data: URL."
    )


class PlacedError(BaseModel):
    """One invalid value of a request."""

    where: str
    what: str


class ProblemAnswer(BaseModel):
    """Why a request failed (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"example": _PROBLEM})

    type: str = Field(description="Identifies the kind of problem; the documentation lists all kinds.")
    title: str
    status: int
    detail: str = Field(description="What happened in this case.")
    request_id: str = Field(description="The service's id for the request, also in the header X-Request-Id.")
    retry_after: int | None = Field(None, description="Seconds after which to try again; absent if unknown.")
    aws_request_id: str | None = Field(None, description="AWS's id of the call that failed, if there is one.")
    errors: list[PlacedError] | None = Field(None, description="The invalid values, for status 422.")


class BatchItem(BaseModel):
    """The result for one picture of a batch: either a prediction or a problem."""

    prediction: PredictionAnswer | None = None
    problem: ProblemAnswer | None = None


class BatchAnswer(BaseModel):
    """One result per picture, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"results": [{"prediction": _PREDICTION}, {"problem": _PROBLEM}]}}
    )

    results: list[BatchItem]


class Label(BaseModel):
    """One class of the model."""

    index: int
    class_folder: str
    label: str
    folder_number: int | None


class LabelsAnswer(BaseModel):
    """The classes of the model, in index order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model_id": "9f2c…",
                "labels": [{"index": 0, "class_folder": "001.Boxer", "label": "Boxer", "folder_number": 1}],
                "subject": "dogs",
            }
        }
    )

    model_id: str | None
    labels: list[Label]
    subject: Literal["dogs", "classes"] = Field(
        description='"dogs" if nearly all classes are breeds of dogs, else "classes".'
    )


class StatusAnswer(BaseModel):
    """The state of the service."""

    status: str


class PictureSource(BaseModel):
    """A picture, given by exactly one of the members."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"url": "https://example.com/rex.jpg"}})

    url: str | None = Field(
        None,
        max_length=8192,
        description="http:// or https:// URL of the picture.",
        json_schema_extra={"format": "uri"},
    )
    base64: str | None = Field(None, description="The file, base64-encoded.")
    data: str | None = Field(None, description="The file as a data: URL.")

    @model_validator(mode="after")
    def _exactly_one(self) -> PictureSource:
        if sum(value is not None for value in (self.url, self.base64, self.data)) != 1:
            raise ValueError("pass exactly one of url, base64 and data")
        # The classifier also accepts paths: only texts that are certainly URLs may reach it from here.
        if self.url is not None and not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        if self.data is not None and not self.data.startswith("data:"):
            raise ValueError("data must begin with data:")
        return self


class ClassifyRequest(PictureSource):
    """One picture to classify."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"url": "https://example.com/rex.jpg", "top_k": DEFAULT_TOP_K}}
    )

    top_k: TopK | None = None


class BatchRequest(BaseModel):
    """Several pictures to classify."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"pictures": [{"url": "https://example.com/rex.jpg"}, {"base64": "/9j/4AAQ…"}], "top_k": 3}
        },
    )

    pictures: list[PictureSource] = Field(min_length=1)
    top_k: TopK | None = None

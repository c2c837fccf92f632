"""Filters the records of a batch transform job, and joins them with the model's responses (DataProcessing).

Source: developer guide, "Associate Prediction Results with Input Records".
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.transform.json_path import JsonPath, JsonPathError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTransformJobRequestTypeDef

Format = Literal["csv", "json"]
_FORMATS: dict[str, Format] = {"text/csv": "csv", "application/json": "json", "application/jsonlines": "json"}
DEFAULTS = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
# AWS's words, by which people find the answer to their question.
_MISMATCH = "Fail to join data: mismatched line count between the input and the output"


class DataError(Exception):
    """The data of one object is at fault: a record, or a response that does not fit the records."""


@dataclass(frozen=True)
class DataProcessing:
    """What happens to records before they reach the model, and to its responses before they are written.

    Attributes:
        input_filter: The part of a record that the model gets.
        output_filter: The part of a response, or of a joined record, that is written.
        joins: Whether a record is joined with its response.
        input_format: The format of the records; None if nothing is filtered or joined.
        output_format: The format of the responses; None likewise.
    """

    input_filter: JsonPath
    output_filter: JsonPath
    joins: bool
    input_format: Format | None
    output_format: Format | None

    @classmethod
    def read(cls, request: CreateTransformJobRequestTypeDef) -> DataProcessing:
        """The DataProcessing of a request.

        Raises:
            ConfigurationError: A path is not supported, or the job's formats do not go with it.
        """
        given = cast("dict[str, str]", {**DEFAULTS, **(request.get("DataProcessing") or {})})
        processing = cls(
            JsonPath.parse(given["InputFilter"]),
            JsonPath.parse(given["OutputFilter"]),
            given["JoinSource"] == "Input",
            _format(request["TransformInput"].get("ContentType")),
            _format(request["TransformOutput"].get("Accept")),
        )
        processing._check(request)
        return processing

    def model_input(self, records: Sequence[bytes]) -> bytes:
        """The body of the request for some records.

        Raises:
            DataError: A record is not in the declared format, or lacks what the filter selects.
        """
        if self.input_filter.is_root:
            return b"\n".join(records)
        return _filtered(self.input_filter, _decoded(records, self.input_format), self.input_format)

    def output(self, records: Sequence[bytes], response: bytes) -> bytes:
        """What is written for some records and the model's response to them.

        Raises:
            DataError: The response is not in the declared format, does not have one line for each record that it is
                joined with, or lacks what the filter selects.
        """
        if not self.joins and self.output_filter.is_root:
            return response
        # For one record, a JSON document may have several lines.
        is_document = self.output_format == "json" and len(records) == 1
        lines = [response] if is_document else [line for line in response.splitlines() if line.strip()]
        results = _decoded(lines, self.output_format)
        if self.joins:
            if len(results) != len(records):
                raise DataError(f"{_MISMATCH} ({len(records)} records, {len(results)} results).")
            join = _joined_rows if self.output_format == "csv" else _joined_documents
            pairs = zip(_decoded(records, self.input_format), results, strict=True)
            results = [join(given, result) for given, result in pairs]
        return _filtered(self.output_filter, results, self.output_format)

    def _check(self, request: CreateTransformJobRequestTypeDef) -> None:
        allowed = "text/csv, application/json or application/jsonlines"
        filters_input = not self.input_filter.is_root
        filters_output = self.joins or not self.output_filter.is_root
        if (filters_input or self.joins) and self.input_format is None:
            raise ConfigurationError(f"DataProcessing needs TransformInput's ContentType to be {allowed}.")
        if filters_output and self.output_format is None:
            raise ConfigurationError(f"DataProcessing needs TransformOutput's Accept to be {allowed}.")
        if self.joins and self.input_format != self.output_format:
            raise ConfigurationError(
                "To join CSV with CSV or JSON with JSON, set ContentType and Accept to one format."
            )
        for path, form in ((self.input_filter, self.input_format), (self.output_filter, self.output_format)):
            if form == "csv" and not path.selects_by_position:
                raise ConfigurationError(
                    f"CSV has columns and no names: select them by position, such as $[1:], not {path.text}."
                )
        if (filters_input or self.joins) and self.input_format == "csv":
            split, assembled = (
                request["TransformInput"].get("SplitType"),
                request["TransformOutput"].get("AssembleWith"),
            )
            if split != "Line" or (self.joins and assembled != "Line"):
                raise ConfigurationError("DataProcessing of text/csv needs SplitType and AssembleWith to be Line.")


def _format(content_type: str | None) -> Format | None:
    return _FORMATS.get((content_type or "").partition(";")[0].strip().lower())


def _decoded(lines: Sequence[bytes], form: Format | None) -> list[Any]:
    """The values of some records or results: a CSV row is an array of its columns."""
    return [_document(line) for line in lines] if form == "json" else _rows(lines)


def _document(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"Unable to decode payload: {error} in {text[:100].decode('utf-8', 'replace')!r}.") from None


def _rows(lines: Sequence[bytes]) -> list[list[str]]:
    try:
        rows = list(csv.reader((line.decode("utf-8") for line in lines), strict=True))
    except (ValueError, csv.Error) as error:
        raise DataError(f"Unable to decode payload: {error}.") from None
    if len(rows) != len(lines):
        raise DataError("Unable to decode payload: a quoted CSV value contains a newline.")
    return rows


def _filtered(path: JsonPath, values: Sequence[Any], form: Format | None) -> bytes:
    """The selected parts of some records or results, one per line."""
    try:
        selected = [path.select(value) for value in values]
    except JsonPathError as error:
        raise DataError(str(error)) from None
    if form == "json":
        return "\n".join(json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in selected).encode()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(part if isinstance(part, list) else [part] for part in selected)
    return text.getvalue().removesuffix("\n").encode()


def _joined_rows(given: list[str], result: list[str]) -> list[str]:
    return [*given, *result]


def _joined_documents(given: Any, result: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return {**given, "SageMakerOutput": result}
    return {"SageMakerInput": given, "SageMakerOutput": result}

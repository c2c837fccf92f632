"""Broken and hostile requests to the service, and broken answers to the client, by the hundred."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fuzz_requests
import fuzzing.answers
from dogbreed_sdk.service import multipart
from dogbreed_sdk.testing import picture

FORM = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="rex.jpg"\r\n\r\n'
BODY = HEAD + picture() + b"\r\n--b--\r\n"
# RFC 2231 gives parameters charsets, languages and numbered pieces, of which email's parser is not always sure.
NAMES = st.sampled_from(("", "*", "*0", "*0*", "*1", "*1*", "*x", "**", "*" + "9" * 5000))
VALUES = st.sampled_from(("b", '"b"', "utf-8''b", "idna''b%ff", "u%00''b", "punycode''%ff", "rot13''b", '"', "", "%"))
PARAMETERS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=3)
QUICKLY = settings(max_examples=150)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_breaks_the_service(seed: int) -> None:
    report = fuzz_requests.fuzz_service(250, seed=seed)
    assert report.outcome.failures == []
    assert report.outcome.cases == 250
    answered = {name for _, name in report.outcome.counts}
    assert answered >= {"200", "400", "404", "405", "415", "422"}


def test_no_answer_breaks_the_client() -> None:
    outcome = fuzz_requests.fuzz_client(2000, seed=1)
    assert outcome.failures == []
    assert outcome.counts["client", "Prediction"] > 50
    assert outcome.counts["client", "ModelError"] > 50
    assert outcome.counts["HTTP through boto3", "EndpointError"] > 5


@QUICKLY
@given(parameters=PARAMETERS)
def test_no_content_type_breaks_the_parser_of_forms(parameters: list[tuple[str, str]]) -> None:
    taken_apart(BODY, "multipart/form-data; " + "; ".join(f"boundary{name}={value}" for name, value in parameters))


@QUICKLY
@given(parameters=PARAMETERS, content=st.binary(max_size=60))
def test_no_part_breaks_the_parser_of_forms(parameters: list[tuple[str, str]], content: bytes) -> None:
    disposition = "".join(f"; {field}{name}={value}" for name, value in parameters for field in ("name", "filename"))
    head = f"Content-Disposition: form-data{disposition}".encode()
    taken_apart(b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n", FORM)


@QUICKLY
@given(
    body=st.binary(max_size=300),
    content_type=st.sampled_from([FORM, FORM.replace("=b", '="a b"'), "multipart/form-data"]),
)
def test_no_body_breaks_the_parser_of_forms(body: bytes, content_type: str) -> None:
    for candidate in (body, b"--b" + body, HEAD + body + b"\r\n--b--"):
        taken_apart(candidate, content_type)


def taken_apart(body: bytes, content_type: str) -> None:
    try:
        multipart.parse(body, content_type, most_parts=3)
    except multipart.MultipartError as error:
        assert 10 < len(str(error)) < 500


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("probability", "index", "x")), inner),
    max_leaves=6,
)


@QUICKLY
@given(scores=JSON_VALUES, model_id=JSON_VALUES, rejected=JSON_VALUES)
def test_no_member_of_an_answer_breaks_the_client(scores: object, model_id: object, rejected: object) -> None:
    for form in ("scores", "probabilities"):
        name, failure = fuzzing.answers.asked(
            {"model_id": model_id, "predictions": [{form: scores, "rejected": rejected, "rejection_score": scores}]}
        )
        assert failure is None, name


def test_a_model_that_never_names_its_classes_is_an_error_of_the_sdk() -> None:
    nameless = {"model_id": "another", "predictions": [{"probabilities": [0.7, 0.2, 0.1]}]}
    assert fuzzing.answers.asked(nameless) == ("LabelError", None)

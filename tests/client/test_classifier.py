"""BreedClassifier: its settings, its patience, and model servers on a URL of their own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tenacity
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError

from dogbreed_sdk import (
    BreedClassifier,
    ConfigurationError,
    DogBreedError,
    EndpointError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointTimeoutError,
    LabelError,
    LabelMap,
    ModelError,
    PayloadTooLargeError,
    Session,
    ThrottledError,
)
from dogbreed_sdk.client import retries
from dogbreed_sdk.client.transports import endpoint as endpoint_transport
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.passing_time import set_time

BREEDS = ["001.Pug", "002.Boxer"]
ANSWER = json.dumps({"model_id": "m", "predictions": [{"probabilities": [0.25, 0.75]}]}).encode()


class Server(ThreadingHTTPServer):
    """A model server whose answers a test decides; counts what it is asked."""

    daemon_threads = True
    request_queue_size = 128  # a connection that finds no room waits a second

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.connections = 0
        self.answer: Callable[[int], tuple[int, bytes]] = lambda _: (200, ANSWER)
        self.missing_bytes = 0
        self.seconds = 0.0
        self.answers = threading.Event()
        self.answers.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        status, body = self.server.answer(len(self.server.asked))
        time.sleep(self.server.seconds)
        assert self.server.answers.wait(60)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + self.server.missing_bytes))
        self.send_header("X-Amzn-RequestId", "id-7")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.server.missing_bytes > 0

    do_GET = do_POST = _respond  # noqa: N815 - http.server calls them so

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.answers.set()
        made.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogbreed_sdk.client.transports.Transport.first_pause", 0.01)


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        "name", [None, "", 5, "http://127.0.0.1:8123", "model.tar.gz", "a--", "dog_breeds", "d" * 64]
    )
    def test_what_is_no_endpoints_name_is_refused_with_the_place_it_belongs(self, name: Any, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"endpoint_name must.*from_server, a bundle to .*from_bundle"):
            BreedClassifier(name, session=Session.local(tmp_path))

    def test_a_wrong_urls_password_is_not_repeated(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            BreedClassifier("https://me:secret@host/?key=secret")
        assert "secret" not in str(caught.value)

    def test_a_session_is_a_session(self) -> None:
        with pytest.raises(ConfigurationError, match=r"session must be a Session, such as Session.local\(\), got 'x'"):
            BreedClassifier("dogs", session="x")  # type: ignore[arg-type]

    @pytest.mark.parametrize("url", [None, 5, b"http://127.0.0.1:8080", ""])
    def test_a_servers_address_is_a_url(self, url: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"http://127.0.0.1:8080"):
            BreedClassifier.from_server(url)

    @pytest.mark.parametrize("path", [None, 5, ""])
    def test_a_bundle_is_a_path(self, path: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"folder or its model.tar.gz, got"):
            BreedClassifier.from_bundle(path)


class TestOptions:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"fetch": "server"}, "fetch"),
            ({"allowed_hosts": "example.com"}, "allowed_hosts"),
            ({"deadline": -1.0}, "deadline"),
            ({"read_timeout": float("inf")}, "read_timeout"),
            ({"wait_ready": -1.0}, "wait_ready"),
            ({"max_attempts": 0}, "max_attempts must be a whole number of 1 or more, got 0"),
            ({"max_attempts": 1.5}, "max_attempts must be a whole number of 1 or more, got 1.5"),
            ({"max_payload_bytes": "1MB"}, "max_payload_bytes must be a whole number of 1 or more, got '1MB'"),
            ({"connect_timeout": "1"}, "connect_timeout must be a finite number greater than 0, got '1'"),
            ({"read_timeout": True}, "read_timeout must be a finite number greater than 0, got True"),
            ({"deadline": float("nan")}, "deadline must be a finite number greater than 0, got nan"),
            ({"wait_ready": None}, "wait_ready must be a finite number of 0 or more, got None"),
            ({"labels": 5}, "labels must be a LabelMap or a list of names, got 5"),
            ({"allowed_hosts": 5}, "allowed_hosts must be a list of host names"),
            ({"allowed_hosts": ["https://example.com/"]}, "'https://example.com/' is not a host name"),
            ({"allowed_hosts": ["example.com:8080"]}, "'example.com:8080' is not a host name"),
            ({"allowed_hosts": [None]}, "None is not a host name"),
            ({"patience": 3}, "Unknown option patience; valid options: labels, fetch, "),
        ],
        ids=str,
    )
    def test_wrong_ones_are_named(self, wrong: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            FakeEndpoint(BREEDS).classifier(**wrong)
        with pytest.raises(ConfigurationError, match=said):
            FakeEndpoint(BREEDS).classifier().with_options(**wrong)

    @pytest.mark.parametrize("host", ["example.com", "*.example.com", "dog_pictures.", "10.0.0.1", "::1", "[::1]"])
    def test_hosts_are_names_and_addresses(self, host: str) -> None:
        assert FakeEndpoint(BREEDS).classifier(allowed_hosts=[host]).options.allowed_hosts == (host,)

    @pytest.mark.parametrize("top_k", ["3", None, 2.5, True, 0, -1])
    def test_how_many_classes_are_ranked_is_a_whole_number(self, top_k: Any) -> None:
        endpoint = FakeEndpoint(BREEDS)
        with pytest.raises(ConfigurationError, match=f"top_k must be a whole number of 1 or more, got {top_k!r}"):
            endpoint.classifier().classify(picture(), top_k=top_k)
        assert endpoint.requests == []

    def test_a_copy_differs_in_what_was_changed_and_shares_the_labels(self) -> None:
        endpoint = FakeEndpoint(BREEDS)
        classifier = endpoint.classifier(deadline=9.0)
        classifier.classify(picture())
        hasty = classifier.with_options(max_attempts=1)
        assert (hasty.options.deadline, hasty.options.max_attempts, classifier.options.max_attempts) == (9.0, 1, 4)
        assert hasty.labels() is classifier.labels()
        endpoint.throttles()
        with pytest.raises(ThrottledError):
            hasty.classify(picture())
        assert classifier.classify(picture()).label == "Pug"

    def test_labels_may_be_a_list(self) -> None:
        classifier = FakeEndpoint(BREEDS).classifier(labels=["Mops", "Boxer"])
        assert classifier.classify(picture()).label == "Mops"
        assert isinstance(classifier.labels(), LabelMap)
        with pytest.raises(LabelError, match=r"2 scores.*3 labels"):
            classifier.with_options(labels=["a", "b", "c"]).classify(picture())

    def test_labels_are_known_before_the_first_picture(self) -> None:
        endpoint = FakeEndpoint(BREEDS)
        classifier = endpoint.classifier()
        assert classifier.model_id is None
        assert list(classifier.labels()) == list(classifier.labels()) == BREEDS
        assert (classifier.model_id, len(endpoint.requests)) == ("fake-model", 1)


class TestServers:
    def test_a_picture_is_posted_to_its_invocations(self, server: Server) -> None:
        with BreedClassifier.from_server(server.url + "/", labels=BREEDS) as classifier:
            prediction = classifier.classify(picture())
            classifier.classify(picture())
        assert (prediction.label, prediction.model_id, prediction.request_id) == ("Boxer", "m", "id-7")
        assert server.asked == ["/invocations"] * 2
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("status", "error", "asked"),
        [
            (400, ModelError, 1),
            (404, EndpointNotFoundError, 1),
            (413, PayloadTooLargeError, 1),
            (500, ModelError, 1),
            (429, ThrottledError, 4),
            (503, ThrottledError, 4),
            (502, ModelError, 4),
        ],
    )
    def test_each_refusal_has_its_error(
        self, server: Server, status: int, error: type[DogBreedError], asked: int
    ) -> None:
        server.answer = lambda _: (status, b'{"message": "because of a reason"}')
        with pytest.raises(error) as caught:
            BreedClassifier.from_server(server.url).classify(picture())
        assert type(caught.value) is error
        assert caught.value.request_id == "id-7"
        assert "because of a reason" in str(caught.value) or status == 404
        assert len(server.asked) == asked

    def test_what_passes_is_tried_again(self, server: Server) -> None:
        server.answer = lambda asked: (503, b"busy") if asked < 4 else (200, ANSWER)
        assert BreedClassifier.from_server(server.url, labels=BREEDS).classify(picture()).label == "Boxer"

    def test_an_answer_that_is_cut_off_is_a_lost_connection(self, server: Server) -> None:
        server.missing_bytes = 5
        with pytest.raises(EndpointError, match="before the response was complete"):
            BreedClassifier.from_server(server.url, labels=BREEDS).classify(picture())
        assert len(server.asked) == 4

    def test_an_answer_that_does_not_come_is_not_asked_for_again(self, server: Server) -> None:
        server.answers.clear()
        with pytest.raises(EndpointTimeoutError, match="the response timed out"):
            BreedClassifier.from_server(server.url, read_timeout=0.1).classify(picture())
        assert len(server.asked) == 1

    def test_nobody_there(self) -> None:
        with pytest.raises(EndpointNotReadyError, match="does not accept connections"):
            BreedClassifier.from_server("http://127.0.0.1:9", max_attempts=1).classify(picture())
        with pytest.raises(EndpointNotReadyError, match="not ready"):
            BreedClassifier.from_server("http://127.0.0.1:9")._transport.wait_until_ready(0.0)

    def test_one_that_starts_is_waited_for(self, server: Server) -> None:
        def starting(asked: int) -> tuple[int, bytes]:
            return (404, b"") if asked == 1 else (503, b"") if asked == 2 else (200, ANSWER)

        server.answer = starting
        classifier = BreedClassifier.from_server(server.url, labels=BREEDS, wait_ready=60.0)
        assert classifier.classify(picture()).label == "Boxer"
        assert server.asked == ["/invocations", "/ping", "/ping", "/invocations"]

    def test_the_http_service_is_recognized(self, server: Server) -> None:
        server.answer = lambda _: (404, b'{"type":"/problems/not-found","title":"There is nothing here"}')
        with pytest.raises(EndpointNotFoundError, match=r"the HTTP service, not a model server: POST .*/v1/classify"):
            BreedClassifier.from_server(server.url).classify(picture())

    def test_a_request_id_is_not_called_awss(self, server: Server) -> None:
        server.answer = lambda _: (500, b"a bug")
        with pytest.raises(ModelError, match=r"500: a bug \(request id id-7\)$"):
            BreedClassifier.from_server(server.url).classify(picture())

    @pytest.mark.parametrize(
        "url",
        ["127.0.0.1:8080", "ftp://host", "http://", "http://me:secret@host", "http://host?key=secret", "http://h:x"],
    )
    def test_addresses_that_are_none_are_refused_without_their_secrets(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="is not the address of a model server") as caught:
            BreedClassifier.from_server(url)
        assert "secret" not in str(caught.value)


class TestEndpoints:
    """Against a server that plays SageMaker's runtime, through boto3."""

    @pytest.fixture
    def classifier(self, server: Server, tmp_path: Path) -> BreedClassifier:
        session = Session.local(tmp_path, endpoint_url=server.url)
        return BreedClassifier("dogs", session=session, labels=BREEDS)

    def test_a_body_that_is_cut_off_or_empty_is_a_lost_connection(
        self, server: Server, classifier: BreedClassifier
    ) -> None:
        server.answer = lambda asked: (200, b"" if asked == 1 else ANSWER)
        assert classifier.classify(picture()).label == "Boxer"
        server.missing_bytes = 5
        with pytest.raises(EndpointError, match="connection was lost while reading the response"):
            classifier.classify(picture())
        assert len(server.asked) == 2 + 4

    def test_timeouts_are_those_that_were_given(self, server: Server, classifier: BreedClassifier) -> None:
        server.answers.clear()
        with pytest.raises(EndpointTimeoutError, match=r"response timed out\. The limit was read_timeout=0\.1 s"):
            classifier.with_options(read_timeout=0.1).classify(picture())
        with pytest.raises(EndpointTimeoutError, match=r"The limit was deadline=0\.2 s; pass a larger") as caught:
            classifier.with_options(deadline=0.2).classify(picture())
        assert caught.value.limit == "deadline"
        server.answers.set()
        assert classifier.classify(picture()).label == "Boxer"

    @pytest.mark.parametrize(
        ("status", "body"),
        [(302, b"\x90\x91"), (404, b"[1, 2]"), (500, b'{"__type": "' + b"x" * 40_000 + b'"}')],
        ids=["no text", "a list", "endless"],
    )
    def test_an_answer_of_something_else_is_told_briefly(
        self, server: Server, classifier: BreedClassifier, status: int, body: bytes
    ) -> None:
        server.answer = lambda _: (status, body)
        with pytest.raises(EndpointError) as caught:
            classifier.with_options(max_attempts=1).classify(picture())
        assert "codec" not in str(caught.value)
        assert "object has no attribute" not in str(caught.value)
        assert len(str(caught.value)) < 400

    def test_a_missing_endpoint_is_missing_in_its_session(self, server: Server, classifier: BreedClassifier) -> None:
        missing = b'{"__type": "ValidationError", "message": "Endpoint dogs of account 1 not found."}'
        server.answer = lambda _: (400, missing)
        with pytest.raises(EndpointNotFoundError, match=r"endpoint dogs does not exist in Session\.local\('.*'\)\."):
            classifier.classify(picture())

    def test_clients_of_boto3_are_made_once_for_each_pair_of_timeouts(self, classifier: BreedClassifier) -> None:
        assert classifier.session is not None
        again = BreedClassifier("cats", session=classifier.session, labels=BREEDS)
        for asked in (
            classifier,
            again,
            classifier.with_options(max_attempts=2),
            classifier.with_options(deadline=3.0),
        ):
            asked.classify(picture())
        clients = endpoint_transport._CLIENTS[classifier.session.boto3_session]
        assert [timeouts[:2] for timeouts in clients] == [(5.0, 70.0), (5.0, 4.375)]

    def test_connections_are_kept_for_as_many_as_are_asked_at_a_time(
        self, server: Server, classifier: BreedClassifier
    ) -> None:
        server.seconds = 0.02
        list(classifier.classify_many([picture()] * 300, max_concurrency=100))
        assert server.connections <= 100

    def test_an_endpoint_that_is_being_made_is_waited_for(
        self, server: Server, classifier: BreedClassifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusal = json.dumps({"message": "Endpoint dogs of account 1 not found.", "__type": "ValidationError"}).encode()
        server.answer = lambda asked: (400, refusal) if asked % 2 else (200, ANSWER)
        waited: list[float] = []
        monkeypatch.setattr(endpoint_transport, "wait_in_service", lambda *_, **given: waited.append(given["timeout"]))
        with pytest.raises(EndpointNotFoundError):
            classifier.classify(picture())
        server.asked.clear()
        assert classifier.with_options(wait_ready=3000.0).classify(picture()).label == "Boxer"
        assert waited == [pytest.approx(3000.0, abs=300.0)]


class TestRetries:
    POLICY = retries.RetryPolicy(max_attempts=10, deadline=1.0, read_timeout=70.0, first_pause=0.001)

    def test_attempts_get_no_longer_than_the_deadline_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[float] = []
        now = 1000.0
        set_time(monkeypatch, retries, tenacity, monotonic=lambda: now)

        def attempt(seconds: float) -> None:
            nonlocal now
            given.append(seconds)
            now += 0.21
            raise ResponseStreamingError(error="gone")

        with pytest.raises(ResponseStreamingError):
            retries.call(attempt, policy=self.POLICY, is_transient=lambda _: True, cancelled=threading.Event())
        # At least half a second each, and none begins when the deadline has passed.
        assert given == pytest.approx([1.0, 0.79, 0.58, 0.5, 0.5])

    def test_a_pause_ends_when_nobody_waits_any_more(self) -> None:
        cancelled = threading.Event()
        attempts = []

        def attempt(_: float) -> None:
            attempts.append(1)
            threading.Timer(0.1, cancelled.set).start()
            raise ResponseStreamingError(error="gone")

        with pytest.raises(ResponseStreamingError):
            retries.call(
                attempt,
                policy=retries.RetryPolicy(max_attempts=100, deadline=6e3, read_timeout=70.0, first_pause=0.001),
                is_transient=lambda _: True,
                minimum_pause=lambda _: 3e3,
                cancelled=cancelled,
            )
        assert len(attempts) == 1

    def test_other_errors_come_at_once(self) -> None:
        def attempt(_: float) -> None:
            raise ReadTimeoutError(endpoint_url="x")

        with pytest.raises(ReadTimeoutError):
            retries.call(attempt, policy=self.POLICY, is_transient=lambda _: False)

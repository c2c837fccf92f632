"""Every kind of picture, sent in every way, gets the same class and the same probability."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features

from dogbreed_sdk import AsyncBreedClassifier, BreedClassifier, Deployment
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.client.images import to_payload
from dogbreed_sdk.container import uri_to_path
from tests.conftest import Workshop, draw_shape
from tests.service.running import RunningService
from training_scripts.data import decoding, preprocessing
from training_scripts.models import bundle

pytestmark = pytest.mark.extras

EXACT = 1e-4
# Pixels beyond a megapixel without a JPEG behind them reach the model reduced through the client, and whole where
# the file itself is sent (`images.encoding._reduced`: 0.005 to 0.012 on photographs, this drawing included).
REDUCED = 0.02
# An AVIF is what the client alone reads: no content type carries it to an endpoint.
NOT_SERVED = ""

Holder = Callable[[bytes, Path], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of picture.

    Attributes:
        file: The encoded picture.
        served: The content type under which an endpoint takes the file as it is.
        held: What a caller of the SDK holds, made of the file and a path at which it lies. Default: the bytes.
        within: How far probabilities may be apart between the ways to send it.
        preprocessed: Whether it is sent as a tensor, too: 3 MB of JSON, whatever the picture was.
    """

    file: bytes
    served: str
    held: Holder = lambda file, _path: file
    within: float = EXACT
    preprocessed: bool = False


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(name: str = "010.Green_stripes", seed: int = 5, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A drawing with enough grain that a model sees more than flat colors in it."""
    drawn = draw_shape(name, random.Random(seed)).resize(size, Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(drawn) + noise, 0, 255).astype("uint8"))


def turned(orientation: int) -> bytes:
    """A JPEG whose camera data say how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), "JPEG", quality=90, exif=exif)


def film(file_format: str) -> bytes:
    """The picture, and other ones behind it."""
    others = [picture("001.Red_disc"), picture("002.Blue_square")]
    return encoded(picture(), file_format, save_all=True, append_images=others)


def deep(file_format: str, **options: Any) -> bytes:
    """16 bits a pixel, gray."""
    gray = np.asarray(picture().convert("L")).astype("uint16") * 257
    return encoded(Image.fromarray(gray), file_format, **options)


def kinds() -> dict[str, Kind]:
    image, large = picture(), picture(size=(1800, 1500))
    clear = image.convert("RGBA")
    clear.putalpha(Image.radial_gradient("L").resize(image.size))
    jpeg, png = encoded(image, "JPEG", quality=90), encoded(image, "PNG")
    table = {
        "JPEG": Kind(jpeg, "image/jpeg", preprocessed=True),
        "JPEG progressive": Kind(encoded(image, "JPEG", progressive=True), "image/jpeg"),
        "JPEG CMYK": Kind(encoded(image.convert("CMYK"), "JPEG"), "image/jpeg", preprocessed=True),
        "JPEG gray": Kind(encoded(image.convert("L"), "JPEG"), "image/jpeg"),
        "JPEG of 2.7 megapixels": Kind(encoded(large, "JPEG", quality=90), "image/jpeg"),
        "JPEG, 1 kB behind its end": Kind(jpeg + bytes(1000), "image/jpeg"),
        "MPO": Kind(film("MPO"), "image/jpeg"),
        "PNG": Kind(png, "image/png"),
        "PNG called JPEG": Kind(png, "image/jpeg"),
        "PNG palette": Kind(encoded(image.quantize(32), "PNG"), "image/png"),
        "PNG palette, a color clear": Kind(encoded(image.quantize(32), "PNG", transparency=3), "image/png"),
        "PNG alpha": Kind(encoded(clear, "PNG"), "image/png", preprocessed=True),
        "PNG gray and alpha": Kind(encoded(clear.convert("LA"), "PNG"), "image/png"),
        "PNG 16-bit": Kind(deep("PNG"), "image/png", preprocessed=True),
        "PNG interlaced": Kind(interlaced(image), "image/png"),
        "PNG animated": Kind(film("PNG"), "image/png"),
        "PNG of one bit": Kind(encoded(image.convert("1"), "PNG"), "image/png"),
        "GIF animated": Kind(film("GIF"), "application/x-image", preprocessed=True),
        "WebP": Kind(encoded(image, "WEBP", quality=90), "image/webp"),
        "WebP lossless": Kind(encoded(clear, "WEBP", lossless=True), "image/webp"),
        "WebP animated": Kind(film("WEBP"), "image/webp"),
        "BMP": Kind(encoded(image, "BMP"), "application/x-image"),
        "BMP of 2.7 megapixels": Kind(encoded(large, "BMP"), "application/x-image", within=REDUCED),
        "TIFF 16-bit": Kind(deep("TIFF", compression="tiff_adobe_deflate"), "application/x-image"),
        "TIFF of pages": Kind(film("TIFF"), "application/x-image"),
        "PPM": Kind(encoded(image, "PPM"), "application/x-image"),
        "PIL image": Kind(png, "image/png", held=lambda file, _: loaded(file)),
        "PIL image of a JPEG, not yet read": Kind(
            jpeg, "image/jpeg", held=lambda file, _: Image.open(io.BytesIO(file))
        ),
        "array": Kind(png, "image/png", held=lambda file, _: np.asarray(loaded(file)), preprocessed=True),
        "array of 16 bits": Kind(deep("PNG"), "image/png", held=lambda file, _: np.asarray(loaded(file))),
        "array of 2.7 megapixels": Kind(
            encoded(large, "PNG", compress_level=1), "image/png", lambda file, _: np.asarray(loaded(file)), REDUCED
        ),
        "file object": Kind(jpeg, "image/jpeg", held=lambda file, _: io.BytesIO(file)),
        "data URL": Kind(jpeg, "image/jpeg", held=lambda file, _: data_url(file)),
        "path": Kind(jpeg, "image/jpeg", held=lambda _, path: path),
        "path as text": Kind(jpeg, "image/jpeg", held=lambda _, path: str(path)),
        "memoryview": Kind(jpeg, "image/jpeg", held=lambda file, _: memoryview(file)),
    }
    if features.check("avif"):
        table["AVIF"] = Kind(encoded(image, "AVIF"), NOT_SERVED)
    return table | {
        f"JPEG, orientation {turn}": Kind(turned(turn), "image/jpeg", preprocessed=turn == 6) for turn in range(1, 9)
    }


def interlaced(image: Image.Image) -> bytes:
    """A PNG in Adam7 order, which Pillow reads and does not write."""
    pixels = np.asarray(image)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [row for top, left, down, right in passes for row in pixels[top::down, left::right] if row.size]
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def loaded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


KINDS = kinds()
Answer = tuple[str, float]


class Ways:
    """Every way to a model's answer: one bundle, one endpoint of local SageMaker, one service before it.

    Args:
        uri: The bundle.
        deployment: Its endpoint.
    """

    def __init__(self, uri: str, deployment: Deployment) -> None:
        self._description = bundle.read_description(uri_to_path(uri))
        self._bundle = BreedClassifier.from_bundle(uri)
        self._endpoint = deployment.classifier()
        self._name, self._session = self._endpoint.endpoint_name, self._endpoint.session
        assert self._session is not None
        self._boto3 = self._session.boto3_session.client("sagemaker-runtime")
        self.service = RunningService(self)  # type: ignore[arg-type] - all it wants is async_classifier

    def async_classifier(self) -> AsyncBreedClassifier:
        return AsyncBreedClassifier(self._name, session=self._session)

    def answers(self, kind: Kind, held: Callable[[], Any]) -> Iterator[tuple[str, Answer]]:
        """The answer of each way that can carry this kind; `held` gives what a caller holds, anew for each."""
        yield "bundle", best(self._bundle.classify(held(), top_k=1).to_dict())
        yield "endpoint", best(self._endpoint.classify(held(), top_k=1).to_dict())
        yield "asyncio", asyncio.run(self._awaited(held()))
        if kind.served != NOT_SERVED:
            yield "plain boto3", self._plain(kind.file, kind.served)
        yield "service, raw", self._served(data=kind.file, headers={"Content-Type": "image/unknown"})
        yield "service, form", self._served(files={"file": ("rex", kind.file)})
        yield "service, base64", self._served(json={"base64": base64.b64encode(kind.file).decode()})
        if kind.preprocessed:
            yield "tensor", self._plain(self._tensor(held()), "application/json")

    async def _awaited(self, held: Any) -> Answer:
        async with self.async_classifier() as classifier:
            return best((await classifier.classify(held, top_k=1)).to_dict())

    def _plain(self, body: bytes, content_type: str) -> Answer:
        """As clients ask that know nothing of this SDK: [[logits]], softmax with the bundle's temperature."""
        answer = self._boto3.invoke_endpoint(EndpointName=self._name, ContentType=content_type, Body=body)
        assert answer["ContentType"] == "application/json"
        [logits] = json.loads(answer["Body"].read())
        probabilities = (torch.tensor(logits, dtype=torch.float64) / self._description.temperature).softmax(0)
        return self._description.classes[int(probabilities.argmax())], float(probabilities.max())

    def _served(self, **request: Any) -> Answer:
        answer = self.service.post("/v1/classify?top_k=1", **request)
        assert answer.status_code == 200, answer.text
        return best(answer.json())

    def _tensor(self, held: Any) -> bytes:
        """What a client sends that does the preprocessing itself."""
        image = decoding.decode(to_payload(held).body)
        pixels = preprocessing.to_tensor(image, self._description.preprocessing)
        return json.dumps([pixels.tolist()]).encode()

    def labeled_by_url(self, url: str) -> dict[str, Answer]:
        """The answers to a picture that lies on a web server."""
        return {
            "bundle": best(self._bundle.classify(url, top_k=1).to_dict()),
            "endpoint": best(self._endpoint.classify(url, top_k=1).to_dict()),
            "asyncio": asyncio.run(self._awaited(url)),
            "service": self._served(json={"url": url}),
        }


def best(prediction: dict[str, Any]) -> Answer:
    return prediction["class_folder"], prediction["probability"]


@pytest.fixture(scope="module")
def ways(workshop: Workshop) -> Iterator[Ways]:
    with workshop.job.deploy(progress=no_progress) as deployment:
        made = Ways(workshop.job.model_uri, deployment)
        with made.service:
            yield made
        made.service.join()


@pytest.mark.parametrize("name", KINDS)
def test_every_way_gives_the_same_answer(ways: Ways, name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = tmp_path / "rex"
    path.write_bytes(kind.file)
    answers = dict(ways.answers(kind, lambda: kind.held(kind.file, path)))
    assert len(answers) == 6 + (kind.served != NOT_SERVED) + kind.preprocessed
    assert {folder for folder, _ in answers.values()} == {answers["bundle"][0]}
    probabilities = {way: probability for way, (_, probability) in answers.items()}
    assert max(probabilities.values()) - min(probabilities.values()) <= kind.within, probabilities


@pytest.fixture
def web_server() -> Iterator[str]:
    """A picture on a web server of this machine, which calls it something else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(KINDS["JPEG"].file)))
            self.end_headers()
            self.wfile.write(KINDS["JPEG"].file)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/rex.jpg"
        server.shutdown()
        thread.join()


def test_a_url_gives_the_same_answer(ways: Ways, web_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_FETCH_NETWORKS", "127.0.0.1/32")
    kind = KINDS["JPEG"]
    folder, probability = dict(ways.answers(kind, lambda: kind.file))["bundle"]
    for way, answer in ways.labeled_by_url(web_server).items():
        assert answer == (folder, pytest.approx(probability, abs=EXACT)), way


def test_kinds_that_keep_every_pixel_agree_with_each_other(ways: Ways) -> None:
    """So that no way errs in the same manner as the others, and the comparison can fail."""
    lossless = ("PNG", "PNG called JPEG", "PNG interlaced", "PNG animated", "BMP", "TIFF of pages", "PPM")
    answers = {name: next(ways.answers(KINDS[name], lambda: KINDS[name].file)) for name in lossless}  # noqa: B023
    folder, probability = answers["PNG"][1]
    for name, (_, answer) in answers.items():
        assert answer == (folder, pytest.approx(probability, abs=1e-9)), name
    turned_by_six = next(ways.answers(KINDS["JPEG"], lambda: KINDS["JPEG, orientation 6"].file))[1]
    upright = picture().transpose(Image.Transpose.ROTATE_270)
    expected = next(ways.answers(KINDS["JPEG"], lambda: encoded(upright, "PNG")))[1]
    assert turned_by_six == (expected[0], pytest.approx(expected[1], abs=0.05))
    other = next(ways.answers(KINDS["PNG"], lambda: encoded(picture("001.Red_disc"), "PNG")))[1]
    assert other[0] != folder

"""Feeds broken and hostile pictures to the client's check and to the server's decoder, and counts what comes out.

Whatever the input, the client must give a payload or an ImageError, the server a picture or a PictureError, within
a bound of time and memory; and a file that goes out as it is, or re-encoded without loss, must show the server
the pixels that the file itself would.

    python benchmarks/fuzz_pictures.py [--count 60000] [--seed 0] [--seconds-per-case 5] [--megabytes 2500]
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from PIL import Image

from dogbreed_sdk.client.images import jpeg, to_payload
from dogbreed_sdk.errors import ImageError
from fuzzing.picture_cases import Case, cases
from training_scripts.data import decoding


@dataclass
class Outcome:
    """What has come out so far.

    Attributes:
        client: Outcome of `to_payload` -> how often.
        server: Outcome of `pictures.decode` -> how often.
        marker_walks: Verdict by markers alone, and the decoder's verdict -> how often.
        failures: What must not happen, in words.
        slowest: Seconds of the slowest case, and its kind.
    """

    client: Counter[str] = field(default_factory=Counter)
    server: Counter[str] = field(default_factory=Counter)
    marker_walks: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def fuzz(count: int, *, seed: int = 0, seconds_per_case: float = 5.0) -> Outcome:
    """Runs a number of cases."""
    outcome = Outcome()
    for case in cases(count, seed):
        faulthandler.dump_traceback_later(20 * seconds_per_case, exit=True)
        begin = time.process_time()
        try:
            _check(case, outcome)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            outcome.failures.append(f"{case.kind}: {type(error).__name__}: {error}")
        spent = time.process_time() - begin
        faulthandler.cancel_dump_traceback_later()
        outcome.slowest = max(outcome.slowest, (spent, case.kind))
        if spent > seconds_per_case:
            outcome.failures.append(f"{case.kind}: took {spent:.1f} s of CPU time")
    return outcome


def _check(case: Case, outcome: Outcome) -> None:
    decoded = _decoded(case.data)
    outcome.server["picture" if isinstance(decoded, Image.Image) else "PictureError"] += 1
    try:
        payload = to_payload(case.data)
    except ImageError as error:
        outcome.client[type(error).__name__] += 1
        if not str(error).startswith("the picture given as bytes "):
            outcome.failures.append(f"{case.kind}: the message does not name the source: {error}")
        return
    as_it_is = payload.body == case.data
    outcome.client["sent as it is" if as_it_is else "re-encoded"] += 1
    seen = decoded if as_it_is else _decoded(payload.body)
    if as_it_is and _checked_by_markers(case.data):
        outcome.marker_walks["the server decodes it" if isinstance(seen, Image.Image) else "the server refuses it"] += 1
    elif isinstance(seen, str):
        outcome.failures.append(f"{case.kind}: was sent, but the server refuses it: {seen}")
    elif payload.content_type == "image/png" and _differ(decoded, seen):
        outcome.failures.append(f"{case.kind}: re-encoded, it has other pixels than the server sees in the file")


def _differ(in_file: Image.Image | str, sent: Image.Image) -> bool:
    comparable = isinstance(in_file, Image.Image) and in_file.size == sent.size
    return comparable and in_file.tobytes() != sent.tobytes()


def _decoded(data: bytes) -> Image.Image | str:
    try:
        return decoding.decode(data)
    except decoding.PictureError as error:
        return str(error)


def _checked_by_markers(data: bytes) -> bool:
    try:
        return jpeg.size_if_sound(data) is not None
    except jpeg.BrokenJpegError:
        return False


def main() -> int:
    """Runs the cases and prints what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds-per-case", type=float, default=5.0)
    parser.add_argument("--megabytes", type=int, default=2_500)
    options = parser.parse_args()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints each damage it meets to the terminal
    begin = time.process_time()
    outcome = fuzz(options.count, seed=options.seed, seconds_per_case=options.seconds_per_case)
    spent, peak = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(f"{options.count:,} cases in {spent:.0f} s of CPU time, at most {peak:,} MB of memory")
    print(f"slowest: {outcome.slowest[0]:.2f} s, {outcome.slowest[1]}")
    for title, counts in (
        ("client", outcome.client),
        ("server", outcome.server),
        ("JPEGs checked by markers alone", outcome.marker_walks),
    ):
        print(f"{title}: " + ", ".join(f"{number:,} {name}" for name, number in counts.most_common()))
    if peak > options.megabytes:
        outcome.failures.append(f"{peak:,} MB of memory are more than {options.megabytes:,}")
    for failure in outcome.failures[:50]:
        print("FAILED", failure)
    print(f"{len(outcome.failures)} failures")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())

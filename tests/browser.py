"""A headless Chromium, driven through its DevTools protocol over a pipe: no driver and no package needed.

Tests use it, and `docs/take_pictures.py`.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.waiting import wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 60.0
# Keys that do something by themselves need their code, and Enter and the space bar what they type.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " ")}


def installed() -> str | None:
    """The path of a browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


# The flags of test drivers: hidden windows are drawn, too, and pages that wait are not treated as hung.
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-hang-monitor",
)
_NEXT_FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class BrowserStalledError(AssertionError):
    """The browser has stopped drawing, or answering at all; `open` starts another one."""


class Page:
    """One page of a browser of its own; everything that it complains about or asks for is kept.

    Attributes:
        complaints: What it wrote to the console or threw.
        requests: The URLs that it asked for.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._start()

    def _start(self) -> None:
        path = installed()
        assert path is not None
        there_in, self._write = os.pipe()
        self._read, there_out = os.pipe()
        command = [path, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank"]
        # The browser reads commands from its descriptor 3 and answers on 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there_in, there_out)]
        code = f"import os, sys; os.dup2({ends[0]}, 3); os.dup2({ends[1]}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *command],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (there_in, there_out, *ends):
            os.close(end)
        self._rest = b""
        self._count = 0
        self._stalled = False
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._choosers: list[int] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        calm: bool = False,
        phone: bool = False,
        density: float = 1,
    ) -> None:
        """Loads a page in a window of this size; complaints and requests start anew.

        Args:
            url: Of the page.
            width: Of the window, in CSS pixels.
            height: Of the window.
            dark: Whether the reader prefers dark colors.
            calm: Whether the reader prefers reduced motion.
            phone: Whether it is a device that is touched, with a screen as dense as a phone's.
            density: Of the screen, in pixels per CSS pixel.
        """
        if self._stalled:
            self.close()
            self._start()
        density = 2 if phone else density
        metrics = {"width": width, "height": height, "deviceScaleFactor": density, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        preferences = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if calm else "no-preference",
        }
        features = [{"name": name, "value": value} for name, value in preferences.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        # Whatever the page before still had under way ends here, not in the lists of this one.
        self.call("Page.navigate", url="about:blank")
        self.wait(lambda: self.value("location.href + document.readyState") == "about:blankcomplete")
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=url)
        self.wait(lambda: self.value("location.href !== 'about:blank' && document.readyState") == "complete")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol to the page."""
        return self._call(method, session=self._session, **parameters)

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: Callable[[], Any]) -> None:
        """Until something holds."""
        try:
            wait_for(condition, TIMEOUT)
        except BrowserStalledError:
            raise
        except AssertionError:
            self.next_frame()  # it may have waited for something that is drawn
            raise

    def next_frame(self) -> None:
        """Until what has changed is drawn.

        Raises:
            BrowserStalledError: Nothing is drawn any more.
        """
        try:
            self.value(_NEXT_FRAME)
        except AssertionError as error:
            self._stalled = True
            raise BrowserStalledError("Chromium has stopped drawing") from error

    def box(self, selector: str) -> dict[str, float]:
        """Where an element lies in the window, after scrolling it into view."""
        found: dict[str, float] = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect(); return {x: b.x, y: b.y, width: b.width, height: b.height}; })()"
        )
        return found

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse: mouseMoved, mousePressed, mouseReleased or mouseWheel."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name: str, *, shift: bool = False) -> None:
        """One key pressed and released."""
        code, typed = KEYS.get(name, (0, name if len(name) == 1 else ""))
        pressed: dict[str, Any] = {"key": name, "modifiers": 8 if shift else 0}
        if code:
            pressed["windowsVirtualKeyCode"] = code
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **({"text": typed} if typed else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def type(self, text: str) -> None:
        """Text typed into what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """The left button of the mouse on the middle of an element."""
        box = self.box(selector)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def choose(self, press: Callable[[], None], *files: Path) -> None:
        """Files chosen in the dialog that opens after `press`."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        press()
        self.wait(lambda: self.value("true") and self._choosers)
        names = [str(file) for file in files]
        self.call("DOM.setFileInputFiles", files=names, backendNodeId=self._choosers.pop())
        self.call("Page.setInterceptFileChooserDialog", enabled=False)

    def drag(self, kind: str, selector: str, *files: Path) -> None:
        """One event of files dragged over an element: dragEnter, dragOver or drop."""
        box = self.box(selector)
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def drop(self, selector: str, *files: Path) -> None:
        """Files dragged from outside and dropped on an element."""
        for kind in ("dragEnter", "dragOver", "drop"):
            self.drag(kind, selector, *files)

    def paste(self) -> None:
        """What is on the clipboard, pasted as by the keyboard."""
        keys = {"key": "v", "code": "KeyV", "windowsVirtualKeyCode": 86, "modifiers": 2}
        self.call("Input.dispatchKeyEvent", type="keyDown", commands=["paste"], **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def copy_picture(self, origin: str, png: bytes) -> None:
        """Puts a PNG onto the clipboard, as a page of `origin`."""
        permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self._call("Browser.grantPermissions", origin=origin, permissions=permissions)
        content = base64.b64encode(png).decode()
        self.value(
            f"navigator.clipboard.write([new ClipboardItem({{'image/png': new Blob([Uint8Array.from(atob('{content}'),"
            " each => each.charCodeAt(0))], {type: 'image/png'})})])"
        )

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        path.write_bytes(self.pixels(0, 0, size["width"], size["height"]))

    def pixels(self, x: float, y: float, width: float, height: float) -> bytes:
        """A part of the page as PNG, in CSS pixels from the page's top left corner."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def pdf(self, path: Path) -> None:
        """The page as it is printed."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    def close(self) -> None:
        """Ends the browser and its processes."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for end in (self._write, self._read):
            os.close(end)

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def _event(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(str(parameters["entry"]["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(str(parameters["request"]["url"]))
        elif method == "Page.fileChooserOpened":
            self._choosers.append(int(parameters["backendNodeId"]))

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self._stalled = True
                raise BrowserStalledError("Chromium does not answer")
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

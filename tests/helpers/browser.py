"""Chromium without a window, driven by its DevTools protocol over a pipe: no other package is needed."""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60  # For an answer, on a slow machine.
MISSING = "no Chromium here: apt-get install chromium"


def find() -> str | None:
    """The path of a browser, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """A window of a browser, with an empty profile in `folder`.

    Attributes:
        errors: what its pages have complained of so far: exceptions, console errors, violations of their policy.
    """

    def __init__(self, folder: pathlib.Path):
        self.errors: list[str] = []
        self._number, self._buffer = 0, b""
        (reads, self._send), (self._receive, writes) = os.pipe(), os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += [f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        # It reads from file 3 and writes to file 4.
        command = f'exec "$@" 3</proc/self/fd/{reads} 4>/proc/self/fd/{writes}'
        self._process = subprocess.Popen(
            ["sh", "-c", command, "sh", find(), *flags],
            pass_fds=(reads, writes), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(reads)
        os.close(writes)
        self._session = None
        pages = [one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self._call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self._call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._send)
        os.close(self._receive)

    def open(self, path: pathlib.Path, width: int = 1000, height: int = 800, dark: bool = False) -> None:
        """Open a file from disk in a window of this size, and wait until it is loaded."""
        self.errors.clear()
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                   mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url=path.resolve().as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str):
        """The value of a JavaScript expression on the page; a promise is awaited."""
        result = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key, given by its name and Windows's code for it."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: pathlib.Path, whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as a PNG file."""
        made = self._call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(made["data"]))

    def _call(self, method: str, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _message(self) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], SECONDS)
            part = os.read(self._receive, 1 << 20) if ready else b""
            if not part:
                self._process.kill()
                raise RuntimeError("the browser has ended" if ready else f"no answer in {SECONDS} s")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        method, facts = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(facts["exceptionDetails"]))
        if method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.errors.append(str(facts["args"]))
        if method == "Log.entryAdded":
            self.errors.append(facts["entry"]["text"])
        return message

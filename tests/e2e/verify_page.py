#!/usr/bin/env python3
"""Opens the page that verifies bundles in headless Chromium, from a file, and does what a reader does.

    verify_page.py PAGE.html GOOD.zip FLIPPED.zip PICTURE.png

Standard library, and Debian's packages chromium and chromium-driver. Exit code 0: the good bundle is VERIFIED and the other is
not; 1: otherwise; 2: there is no browser here.
"""

import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=900,1100"]
WAIT_SECONDS = 60


class Browser:
    """A W3C WebDriver session."""

    def __init__(self, port, profile):
        self.base = f"http://127.0.0.1:{port}"
        options = {"args": FLAGS + [f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        self.base += "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
            return json.load(answer)["value"]

    def element(self, css):
        return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def text(self, css):
        return self.call("GET", f"/element/{self.element(css)}/text")

    def verdict(self, page, bundle):
        self.call("POST", "/url", {"url": f"file://{page}"})
        self.call("POST", f"/element/{self.element('#file')}/value", {"text": bundle})
        self.call("POST", f"/element/{self.element('#run')}/click", {})
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            said = self.text("#verdict")
            if said.startswith(("VERIFIED", "NOT VERIFIED")):
                return said, self.text("#report")
            time.sleep(0.05)
        raise TimeoutError("no verdict")


def main(page, good, flipped, picture):
    driver = shutil.which("chromedriver")
    if not driver or not shutil.which("chromium"):
        print("chromium and chromedriver are not here", file=sys.stderr)
        return 2
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)
            browser = Browser(port, profile)
            try:
                said, report = browser.verdict(page, good)
                with open(picture, "wb") as file:
                    file.write(base64.b64decode(browser.call("GET", "/screenshot")))
                assert said == "VERIFIED, without a key of your own", (said, report)
                assert "What it does not show" in report and "taken from the bundle itself" in report, report
                said, report = browser.verdict(page, flipped)
                assert said == "NOT VERIFIED" and "What does not hold" in report, (said, report)
            finally:
                browser.call("DELETE", "")
        finally:
            process.terminate()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

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

    def type(self, css, text):
        self.call("POST", f"/element/{self.element(css)}/value", {"text": text})

    def verdict(self, bundle=None):
        """Chooses a file, which begins the check, or begins it again; headline, sentence and details."""
        if bundle:
            self.type("#file", bundle)
        else:
            self.call("POST", f"/element/{self.element('button')}/click", {})
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            said = self.text("#headline")
            if said:
                return said, self.text("#sentence"), self.text("#details")
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
                browser.call("POST", "/url", {"url": f"file://{page}"})
                said, sentence, details = browser.verdict(good)
                with open(picture, "wb") as file:
                    file.write(base64.b64decode(browser.call("GET", "/screenshot")))
                assert said == "VERIFIED" and "only against the key in the bundle itself" in sentence, (said, sentence)
                assert "What a good bundle does not prove" in details, details
                # A verdict goes with the first change of what it was about.
                browser.type("#key", "x")
                assert browser.text("#headline") == "" and browser.text("#details") == ""
                said, sentence, _ = browser.verdict()
                assert said == "NOT CHECKED" and "verifier key given cannot be used" in sentence, (said, sentence)
                browser.call("POST", f"/element/{browser.element('#key')}/clear", {})
                said, _, details = browser.verdict(flipped)
                assert said == "NOT VERIFIED" and "What does not hold" in details, (said, details)
            finally:
                browser.call("DELETE", "")
        finally:
            process.terminate()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

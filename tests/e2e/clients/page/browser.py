"""A headless Chromium, driven over the protocol of ChromeDriver."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from ports import free_port

PATIENCE = 20  # seconds until something that does not happen has failed


class Browser:
    """One browser and its driver. Use it in a `with`, which ends both."""

    def __init__(self, runs_scripts=True, logs_requests=True):
        self.port = free_port()
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        self.session = None
        self.arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                          "--hide-scrollbars", "--force-device-scale-factor=1"]
        self.runs_scripts, self.logs_requests = runs_scripts, logs_requests

    def __enter__(self):
        until(lambda: self._is_up(), "chromedriver does not start")
        capabilities = {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": self.arguments},
            "goog:loggingPrefs": {"browser": "ALL",
                                  "performance": "ALL" if self.logs_requests else "OFF"},
            # A page without scripts loads itself again: commands must not wait for that.
            "pageLoadStrategy": "normal" if self.runs_scripts else "none",
        }}
        answer = self._ask("POST", "/session", {"capabilities": capabilities})
        self.session = answer["sessionId"]
        # Those of the page; the tests still run theirs.
        self.command("Emulation.setScriptExecutionDisabled", value=not self.runs_scripts)
        return self

    def __exit__(self, *_):
        try:
            if self.session:
                self._ask("DELETE", f"/session/{self.session}")
        finally:
            # The driver and what it started.
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait(10)

    def _is_up(self):
        try:
            return self._ask("GET", "/status")["ready"]
        except OSError:
            return False

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def _post(self, path, **body):
        return self._ask("POST", f"/session/{self.session}{path}", body)

    def open(self, url):
        self._post("/url", url=url)

    def title(self):
        return self._ask("GET", f"/session/{self.session}/title")

    def run(self, script, *arguments):
        """Runs the body of a function in the page, and returns what it returns."""
        if self.runs_scripts:
            return self._post("/execute/sync", script=script, args=list(arguments))
        # ChromeDriver would wait for a promise, which a page without scripts never keeps.
        call = f"(function() {{ {script} }})(...{json.dumps(arguments)})"
        answer = self.command("Runtime.evaluate", expression=call, returnByValue=True)
        return answer["result"].get("value")

    def text(self, selector):
        script = "return document.querySelector(arguments[0])?.innerText ?? null"
        return self.run(script, selector)

    def command(self, name, **parameters):
        """A command of the DevTools protocol."""
        return self._post("/goog/cdp/execute", cmd=name, params=parameters)

    def log(self, kind):
        """The entries since the last call: `browser` or `performance`."""
        return self._post("/se/log", type=kind)

    def errors(self):
        """What the console says of errors and warnings."""
        return [entry["message"] for entry in self.log("browser")
                if entry["level"] in ("SEVERE", "WARNING")]

    def requested(self):
        """The addresses that the page asked for."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [message["params"]["request"]["url"] for message in messages
                if message["method"] == "Network.requestWillBeSent"]

    def press(self, text):
        """Types keys into the element that has the focus."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    def become(self, width, height, scheme):
        """Sets the size of the window in pixels, and `light` or `dark`."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=width < 600)
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ])

    def picture(self, path):
        answer = self.command("Page.captureScreenshot", format="png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))

    def heap(self):
        """The bytes of the script's heap after garbage collections, of which one alone may
        leave what another frees."""
        sizes = []
        for _ in range(5):
            self.command("HeapProfiler.collectGarbage")
            sizes.append(self.command("Runtime.getHeapUsage")["usedSize"])
        return min(sizes)


def until(holds, otherwise, patience=PATIENCE):
    """Waits until `holds()` is true, and returns the seconds that it took."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > patience:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.05)
    return time.monotonic() - begin

"""The processes of the test, and the proxy between two of them."""

import contextlib
import http.client
import http.server
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request


def fetch(url, method="GET", headers=None, timeout=15):
    """Returns the status, the head and the body of an answer, whatever the status."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


@contextlib.contextmanager
def running(command, output, **environment):
    """Runs a command, and ends it by its process id at the end of the block."""
    process = subprocess.Popen(
        command,
        stdout=open(output, "wb"),
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def until_served(process, output):
    """Waits until the example prints where it serves."""
    deadline = time.monotonic() + 20
    while "Serving on" not in open(output).read():
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"the example does not serve: {open(output).read()}")
        time.sleep(0.05)


@contextlib.contextmanager
def proxy_without_accept(target, content_types):
    """Forwards to `target` and drops the header `accept`: Prometheus of this version
    always accepts OpenMetrics. Records the content types of the answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                # With the address of the target as host, as on loopback it has to be.
                connection = http.client.HTTPConnection(target, timeout=5)
                connection.putrequest("GET", self.path, skip_accept_encoding=True)
                connection.endheaders()
                answer = connection.getresponse()
                body = answer.read()
            except OSError:
                self.send_error(502)
                return
            content_types.add(answer.getheader("content-type"))
            self.send_response(answer.status)
            self.send_header("content-type", answer.getheader("content-type"))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

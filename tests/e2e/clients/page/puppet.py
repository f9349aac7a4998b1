"""A server that stands in for an admin listener: it sends the page of a real process, and
the events that a test wants."""

import http.server
import json
import queue
import threading
import time


class Puppet:
    """Serves `page` (its bytes and headers). `events` of a client are what the test puts
    into the queue that `clients` has for it."""

    def __init__(self, page, policy):
        self.page, self.policy = page, policy
        self.status = 200
        self.clients = []
        self.resumed = []
        puppet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/statusz/events":
                    puppet.stream(self)
                else:
                    self.answer(200, "text/html; charset=utf-8", puppet.page,
                                {"content-security-policy": puppet.policy})

            def answer(self, status, kind, body, headers=None):
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": len(body),
                                    **(headers or {})}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stream(self, handler):
        self.resumed.append(handler.headers.get("last-event-id"))
        if self.status != 200:
            return handler.answer(self.status, "text/plain", b"busy\n")
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("connection", "close")
        handler.end_headers()
        events = queue.Queue(maxsize=1_000)
        self.clients.append(events)
        try:
            while (event := events.get()) is not None:
                handler.wfile.write(event)
        except OSError:
            pass  # the client is gone
        finally:
            if events in self.clients:
                self.clients.remove(events)
        handler.close_connection = True

    def send(self, event, document, version=None):
        """Sends an event to all clients, and waits while they are behind."""
        data = json.dumps(document, ensure_ascii=False)
        number = "" if version is None else f"id: puppet.{version}\n"
        for client in list(self.clients):
            client.put(f"event: {event}\n{number}data: {data}\n\n".encode(), timeout=60)

    def tick(self, version=1, **more):
        self.send("tick", {"time": int(time.time() * 1_000), "version": version, **more})

    def hang_up(self):
        for client in list(self.clients):
            client.put(None)

    def close(self):
        self.hang_up()
        self.server.shutdown()
        self.server.server_close()

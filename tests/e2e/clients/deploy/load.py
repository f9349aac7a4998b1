"""A small, bounded load on 127.0.0.1 that counts what fails."""

import http.client
import threading
import time


class Load:
    """Clients that keep their connections and never try again, until the end of
    the block; each sends a request every `PAUSE`, for `LONGEST` at most."""

    CLIENTS = 4
    PAUSE = 0.02  # seconds
    LONGEST = 60  # seconds

    def __init__(self, port, methods):
        self.port = port
        self.methods = methods
        self.sent = 0
        self.failed = []
        self.by = set()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.client, args=(number,), daemon=True)
            for number in range(self.CLIENTS)
        ]

    def client(self, number):
        method = self.methods[number % len(self.methods)]
        path = "/slow" if method == "SLOW" else "/"
        method = "GET" if method == "SLOW" else method
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        deadline = time.monotonic() + self.LONGEST
        while not self.over.is_set() and time.monotonic() < deadline:
            try:
                connection.request(method, path, body=b"order" if method == "POST" else None)
                response = connection.getresponse()
                body = response.read().decode()
                problem = None if response.status == 200 else f"{response.status} {body!r}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                body, problem = "", repr(error)
            with self.lock:
                self.sent += 1
                if problem:
                    self.failed.append(f"{method} {path}: {problem}")
                else:
                    self.by.add(body.rpartition(" from ")[2].strip())
            self.over.wait(self.PAUSE)
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

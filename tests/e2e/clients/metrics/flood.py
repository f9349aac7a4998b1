"""Scrapes without a pause over eight connections until it is killed. Its argument is
the address; it prints how many scrapes were answered each second."""

import http.client
import sys
import threading
import time

answered = [0] * 8


def scrape(index, address):
    connection = http.client.HTTPConnection(address, timeout=10)
    while True:
        connection.request("GET", "/metrics")
        if connection.getresponse().read():
            answered[index] += 1


for index in range(len(answered)):
    threading.Thread(target=scrape, args=(index, sys.argv[1]), daemon=True).start()
while True:
    before = sum(answered)
    time.sleep(1)
    print(sum(answered) - before, flush=True)

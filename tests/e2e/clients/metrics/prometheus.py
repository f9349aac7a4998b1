"""A Prometheus with two jobs, one for each form, and its answers to queries."""

import contextlib
import json
import time
import urllib.parse

from ports import free_port
from processes import fetch, running

CONFIGURATION = """
global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
rule_files: ["%s"]
scrape_configs:
  - job_name: openmetrics
    static_configs: [{targets: ["%s"]}]
  - job_name: text
    static_configs: [{targets: ["%s"]}]
"""
JOBS = ["openmetrics", "text"]


class Prometheus:
    def __init__(self, address):
        self.address = address

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        status, _, body = fetch(f"http://{self.address}/api/v1/{path}?{query}")
        if status != 200:
            raise SystemExit(f"Prometheus answers {status} to {path}?{query}: {body}")
        return json.loads(body)["data"]

    def values(self, query):
        """Returns the value of each job, or None for a job without one."""
        found = self.get("query", query=query)["result"]
        by_job = {it["metric"].get("job"): float(it["value"][1]) for it in found}
        if len(by_job) != len(found):
            raise SystemExit(f"{query} has several values for one job: {found}")
        return [by_job.get(job) for job in JOBS]

    def expect(self, query, expected, within=10):
        """Waits until both jobs have this value, or one for which `expected` is true."""
        is_it = expected if callable(expected) else lambda value: value == expected
        deadline = time.monotonic() + within
        while True:
            values = self.values(query)
            if all(value is not None and is_it(value) for value in values):
                print(f"  {query}: {' and '.join(f'{value:g}' for value in values)}", flush=True)
                return
            if time.monotonic() > deadline:
                wanted = "another value" if callable(expected) else expected
                raise SystemExit(f"FAILED: {query}: {values}, not {wanted}")
            time.sleep(0.1)

    def names(self, job):
        """Returns the names of all series of a job."""
        selector = '{job="%s",__name__=~"readiness_.*"}' % job
        return set(self.get("label/__name__/values", **{"match[]": selector}))

    def metadata(self):
        """Returns the kind and the help of each metric."""
        targets = self.get("targets/metadata")
        return {it["metric"]: (it["type"], it["help"]) for it in targets}


@contextlib.contextmanager
def scraping(targets, rules, folder):
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION % (rules, *targets))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    output = folder / "prometheus.log"
    with running(command, output) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if fetch(f"http://{address}/-/ready")[0] == 200:
                    break
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("Prometheus does not become ready")
        if process.poll() is not None:
            raise SystemExit(f"Prometheus ended: {output.read_text()}")
        yield Prometheus(address)

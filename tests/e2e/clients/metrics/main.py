"""Takes the axum example through its life, under the eyes of a real Prometheus."""

import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import queries
from ports import free_port
from processes import fetch, proxy_without_accept, running, until_served
from prometheus import JOBS, scraping

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[3]
GUIDE = ROOT / "src/guide/metrics.rs"
RUNBOOK = ROOT / "src/guide/paged_at_night.rs"
SHIPPED = ROOT / "examples/deploy/prometheus"
# The example has no group, no check and no watch of its runtime.
UNMEASURED = {
    "readiness_group_members",
    "readiness_runtime_delay_seconds",
    "readiness_check_duration_seconds",
}


def fail(why):
    raise SystemExit(f"FAILED: {why}")


def lint(admin):
    for what, accept in [("the text", "*/*"), ("what a browser gets", "text/html,*/*;q=0.8")]:
        status, head, body = fetch(f"http://{admin}/metrics", headers={"accept": accept})
        if status != 200 or not head["content-type"].startswith("text/plain; version=0.0.4"):
            fail(f"{what} is {status}, {head['content-type']}")
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=body, text=True, capture_output=True
        )
        if checked.returncode != 0 or checked.stdout or checked.stderr:
            fail(f"promtool check metrics on {what}: {checked.stdout}{checked.stderr}")
    print(f"  promtool check metrics accepts {len(body.splitlines())} lines without a remark")


def refused(base, times):
    for _ in range(times):
        status, head, _ = fetch(f"http://{base}/")
        if status != 503 or "x-readiness" not in head:
            fail(f"a request was not refused: {status}")


def names(prometheus):
    rows = re.findall(r"^//! \| `(readiness_\w+)` \| (\w+) \|", GUIDE.read_text(), re.M)
    expected = {name: kind for name, kind in rows if name not in UNMEASURED}
    series = set()
    for name, kind in expected.items():
        parts = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        series.update(name + part for part in parts)
    for job in JOBS:
        found = prometheus.names(job)
        if found != series:
            fail(f"{job}: missing {series - found}, unknown {found - series}")
        print(f"  {job}: the {len(found)} names of the guide")
    # Both jobs share the names, but OpenMetrics drops the suffixes of kinds.
    metadata = prometheus.metadata()
    for name, kind in expected.items():
        base = re.sub("_(total|info)$", "", name)
        kind_found, help_found = metadata.get(name) or metadata.get(base) or fail(name)
        if not help_found or kind_found not in (kind, "gauge"):
            fail(f"{name} is a {kind_found}: {help_found!r}")


def rules_and_panels(prometheus):
    print("alert rules and dashboard")
    for command in [["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]]:
        ran = subprocess.run(["promtool", *command], cwd=SHIPPED, capture_output=True, text=True)
        if ran.returncode != 0:
            fail(f"promtool {' '.join(command)}: {ran.stdout}{ran.stderr}")
        print(f"  promtool {' '.join(command)}")
    rows = re.findall(r"^//! \| `(readiness_\w+)` \| \w+ \|([^|]*)\|", GUIDE.read_text(), re.M)
    labels_of = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    measured = labels_of.keys() - UNMEASURED
    rules = queries.of_rules(prometheus)
    panels = queries.of_dashboard(SHIPPED / "dashboard.json")
    for what, those in [("rules", rules), ("panels", panels)]:
        try:
            values = queries.check(prometheus, those, labels_of, measured)
        except queries.Unknown as error:
            fail(error)
        print(f"  {len(those)} queries of {what}, with {values} values of labels that exist")
    linked = set(re.findall(r"paged_at_night/index.html#(\S+)", (SHIPPED / "rules.yaml").read_text()))
    if not linked or not linked <= queries.anchors(RUNBOOK):
        fail(f"the runbook has no heading for {linked - queries.anchors(RUNBOOK)}")


def start(prometheus, base):
    print("start")
    refused(base, 3)
    prometheus.expect("max_over_time(readiness_phase{phase='starting'}[1m])", 1)
    if fetch(f"http://{base}/readyz?wait=10")[0] != 200:
        fail("the example does not become ready")
    green = "readiness_verdict{scope='readiness',probe='%s'}"
    for probe in ["startup", "readiness", "liveness"]:
        prometheus.expect(green % probe, 1)
    prometheus.expect("min_over_time(%s[1m])" % (green % "readiness"), 0)
    prometheus.expect("readiness_phase{phase='started'}", 1)
    prometheus.expect("readiness_condition{scope='readiness',condition='ready'}", 1)
    prometheus.expect("readiness_condition{scope='search',condition='ready'}", 1)
    prometheus.expect("sum by (job) (readiness_subsystem_state == 1)", 6)
    prometheus.expect("readiness_subsystems{state='ready'}", 6)
    in_time = lambda least: lambda value: least <= value < least + 5
    # The example starts a subsystem every 600 ms; the third is storage.
    prometheus.expect("readiness_startup_duration_seconds", in_time(1.8))
    for name, least in [("storage", 1.8), ("database", 3.0), ("listener", 0)]:
        series = "readiness_subsystem_startup_duration_seconds{subsystem='%s'}"
        prometheus.expect(series % name, in_time(least))
    requests = "readiness_requests_total{scope='readiness',outcome='refused',reason='starting'}"
    prometheus.expect(requests, 3)
    others = "sum by (job) (readiness_requests_total{outcome!='refused'})"
    prometheus.expect(others, 0)
    prometheus.expect("readiness_probes_total{probe='readiness',status='200'}", 1)
    prometheus.expect("readiness_requests_in_flight", 0)
    age = "time() - readiness_subsystem_last_report_timestamp_seconds{subsystem='storage'}"
    prometheus.expect(age, lambda value: 0 <= value < 60)


def outage(prometheus, base):
    print("outage")
    flip = lambda state: fetch(f"http://{base}/demo/storage/{state}", method="POST")
    flip("failing")
    refused(base, 5)
    prometheus.expect("readiness_verdict{scope='readiness',probe='readiness'}", 0)
    prometheus.expect("readiness_verdict{scope='readiness',probe='liveness'}", 1)
    prometheus.expect("readiness_verdict{scope='search',probe='readiness'}", 1)
    prometheus.expect("readiness_condition{scope='readiness',condition='failing'}", 1)
    prometheus.expect("readiness_subsystem_state{subsystem='storage',state='failing'}", 1)
    prometheus.expect("readiness_subsystems{state='failing'}", 1)
    requests = "readiness_requests_total{scope='readiness',outcome='refused',reason='failing'}"
    prometheus.expect(requests, 5)
    prometheus.expect("increase(%s[1m])" % requests, lambda value: value > 0)
    flip("ready")
    prometheus.expect("readiness_verdict{scope='readiness',probe='readiness'}", 1)
    to = "readiness_subsystem_transitions_total{subsystem='storage',to='%s'}"
    prometheus.expect(to % "failing", 1)
    prometheus.expect(to % "ready", 2)
    prometheus.expect(to % "dead", 0)


def flood(admin, output):
    print("scrapes without a pause")
    with running([sys.executable, str(HERE / "flood.py"), admin], output) as process:
        while not output.read_text():
            time.sleep(0.05)
            if process.poll() is not None:
                fail("the flood ended")
        late = 0
        for _ in range(60):
            begun = time.monotonic()
            try:
                is_live = fetch(f"http://{admin}/livez", timeout=1)[0] == 200
            except OSError:
                is_live = False
            late += not is_live
            time.sleep(max(0, begun + 0.1 - time.monotonic()))
        if process.poll() is not None:
            fail("the flood ended")
    rates = [int(line) for line in output.read_text().split()]
    print(f"  {60 - late} of 60 probes were answered within a second")
    print(f"  beside {min(rates)} to {max(rates)} scrapes a second")
    if late > 1:
        fail(f"{late} of 60 probes were not answered")


def drain(prometheus, base, example):
    print("drain")
    example.send_signal(signal.SIGTERM)
    prometheus.expect("readiness_phase{phase='draining'}", 1, within=4)
    prometheus.expect("readiness_verdict{scope='readiness',probe='readiness'}", 0, within=4)
    prometheus.expect("readiness_verdict{scope='readiness',probe='liveness'}", 1, within=4)
    if fetch(f"http://{base}/")[0] != 200:
        fail("a request was not served while the process drained")
    if example.wait(timeout=20) != 0:
        fail("the example did not end well")
    prometheus.expect("max_over_time(up[10s]) - up", 1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        output = folder / "example.log"
        content_types = set()
        command = [str(pathlib.Path(sys.argv[1]).resolve())]
        # Prometheus starts before the example, whose start takes 3 seconds.
        port, admin_port = free_port(), free_port()
        base, admin = f"127.0.0.1:{port}", f"127.0.0.1:{admin_port}"
        ports = {"PORT": str(port), "ADMIN_PORT": str(admin_port)}
        with (
            proxy_without_accept(admin, content_types) as proxy,
            scraping([admin, proxy], SHIPPED / "rules.yaml", folder) as prometheus,
            contextlib.ExitStack() as stack,
        ):
            # Its targets take some seconds.
            prometheus.expect("up", 0)
            example = stack.enter_context(running(command, output, **ports))
            until_served(example, output)
            start(prometheus, base)
            print("forms and names")
            lint(admin)
            names(prometheus)
            prometheus.expect("readiness_build_info", 1)
            rules_and_panels(prometheus)
            outage(prometheus, base)
            flood(admin, folder / "flood.log")
            drain(prometheus, base, example)
        if content_types != {"text/plain; version=0.0.4; charset=utf-8"}:
            fail(f"the job `text` got {content_types}")
        print("The metrics are as promised.")


main()

"""Checks the page of the axum example, whose path is the first argument; the second one is
the script of axe-core. See tests/e2e/page --help."""

import pathlib
import re
import signal
import sys
import time

import documents
from browser import Browser, until
from documents import subsystem, transition, whole
from process import Process
from puppet import Puppet

PROGRAM, AXE = sys.argv[1:3]
PICTURES = pathlib.Path(__file__).resolve().parents[4] / "docs"
DESKTOP, PHONE = (1200, 900), (390, 844)
HEADER = "return getComputedStyle(document.querySelector('header')).backgroundColor"
GREY, RED, GREEN, BLUE, AMBER = ("rgb(84, 93, 105)", "rgb(179, 38, 30)", "rgb(11, 112, 56)",
                                 "rgb(29, 91, 184)", "rgb(131, 84, 0)")
# A tick comes every 2 seconds, and the page waits for 6.
OLD = (3.5, 7.5)


def same(what, expected, actual):
    assert expected == actual, f"{what}: expected {expected!r}, got {actual!r}"


def becomes(browser, selector, expected):
    text = lambda: (browser.text(selector) or "").lower()
    until(lambda: expected.lower() in text(), lambda: f"{selector} stays {text()!r}, not {expected!r}")


def counts_down(browser):
    """That the page shows two seconds of the drain that follow one another, which ticks do
    not bring: they come every 2 seconds. A busy machine may not look at each second."""
    shown = []

    def follow():
        text = browser.text("#left") or ""
        if left := re.search(r"draining: (\d) s left", text, re.IGNORECASE):
            shown.append(int(left[1]))
        return any(second == first - 1 for first, second in zip(shown, shown[1:]))

    until(follow, lambda: f"the page counts {shown}")


def colour(browser, expected):
    until(lambda: browser.run(HEADER) == expected,
          lambda: f"the header is {browser.run(HEADER)}, not {expected}")


def rows(browser, table="rows"):
    """The visible names of a table, from the top."""
    return browser.run(
        "return [...document.querySelectorAll(`#${arguments[0]} tr`)]"
        ".filter(row => !row.hidden).map(row => row.querySelector('th').textContent)", table)


def is_inert(browser, own):
    """No error in the console, and no request to another host."""
    same("the console", [], browser.errors())
    foreign = {url for url in browser.requested()
               if not url.startswith((f"http://{own}/", "data:", "about:", "chrome:"))}
    same("requests to other hosts", set(), foreign)


def accessible(browser, what):
    browser.run(pathlib.Path(AXE).read_text())
    found = browser.run("return axe.run().then(found => found.violations.map("
                        "it => `${it.id}: ${it.nodes.map(node => node.html).join(' ')}`))")
    same(f"axe-core on {what}", [], found)


# === with a real process ===

def check_changes_without_a_reload():
    with Process(PROGRAM) as process, Browser() as browser:
        process.ready()
        browser.open(f"http://{process.admin}/")
        becomes(browser, "#verdict", "ready")
        becomes(browser, "#news", "live")
        browser.run("window.loaded = 1")
        process.flip("storage", "failing")
        becomes(browser, "#verdict", "not ready")
        becomes(browser, "#why", "storage failing (connection refused)")
        becomes(browser, "#causes", "storage")
        colour(browser, RED)
        same("the first row", "storage", rows(browser)[0])
        assert browser.title().startswith("not ready"), browser.title()
        process.request()
        becomes(browser, "#traffic", "1 failing")
        until(lambda: browser.run("return document.querySelector('#rows td:last-child').textContent") != "0s",
              "the age does not count")
        process.flip("storage", "ready")
        becomes(browser, "#verdict", "ready")
        process.flip("database", "failing")
        becomes(browser, "#verdict", "ready (degraded)")
        colour(browser, AMBER)
        process.flip("cache", "failing")
        becomes(browser, "#scopes", "failing")
        becomes(browser, "#history", "cache")
        same("the page was not loaded again", 1, browser.run("return window.loaded"))
        is_inert(browser, process.admin)


def check_a_stopped_process_turns_the_page_grey():
    with Process(PROGRAM) as process, Browser() as browser:
        process.ready()
        process.flip("database", "ready")
        browser.open(f"http://{process.admin}/")
        becomes(browser, "#news", "live")
        colour(browser, GREEN)
        process.send(signal.SIGSTOP)
        took = until(lambda: browser.run(HEADER) == GREY, "the page does not turn grey")
        assert OLD[0] < took < OLD[1], f"the page turned grey after {took:.1f} s"
        becomes(browser, "#alarm", "no news since")
        becomes(browser, "#verdict", "was ready")
        assert browser.title().startswith("No news"), browser.title()
        same("the filter of the table", "grayscale(1)",
             browser.run("return getComputedStyle(document.querySelector('main')).filter"))
        accessible(browser, "the grey page")
        process.send(signal.SIGCONT)
        colour(browser, GREEN)
        same("the alarm", "", browser.text("#alarm"))
        is_inert(browser, process.admin)


def check_a_drain_counts_down_and_a_successor_is_followed():
    with Browser() as browser:
        with Process(PROGRAM) as process:
            process.ready()
            browser.open(f"http://{process.admin}/")
            becomes(browser, "#news", "live")
            process.send(signal.SIGTERM)
            counts_down(browser)
            colour(browser, BLUE)
            same("the exit", 0, process.process.wait(30))
            colour(browser, GREY)
            port, own = process.admin_port, process.admin
        with Process(PROGRAM, port) as process:
            becomes(browser, "#news", "live")
            process.ready()
            becomes(browser, "#verdict", "ready")
            # The browser reports each attempt that found no listener.
            refused = [error for error in browser.errors() if "ERR_CONNECTION_REFUSED" not in error
                       and "ERR_INCOMPLETE_CHUNKED_ENCODING" not in error]
            same("the console", [], refused)


def check_without_the_script():
    with Process(PROGRAM) as process, Browser(runs_scripts=False) as browser:
        process.ready()
        browser.open(f"http://{process.admin}/")
        becomes(browser, "#verdict", "ready")
        before = browser.text("#news")
        assert before.startswith("as of "), before
        process.flip("storage", "failing")
        becomes(browser, "#verdict", "not ready")
        becomes(browser, "#rows", "connection refused")
        assert browser.text("#news") != before
        colour(browser, RED)
        process.send(signal.SIGSTOP)
        # The page loads itself again after 5 seconds, and is grey after 6. While it loads,
        # the browser does not run the scripts of the test.
        time.sleep(8)
        browser.command("Page.stopLoading")
        colour(browser, GREY)


# === with a stand-in ===

def with_puppet(check, **options):
    """Runs `check(browser, puppet)` with the page of a real process, and a stand-in."""
    with Process(PROGRAM) as process:
        puppet = Puppet(*process.page())
    try:
        with Browser(**options) as browser:
            browser.become(*DESKTOP, "light")
            browser.open(f"http://{puppet.address}/")
            until(lambda: puppet.clients, "the page does not ask for events")
            check(browser, puppet)
    finally:
        puppet.close()


def check_markup_in_every_field_is_text():
    def check(browser, puppet):
        plain = documents.attacked("plain")
        puppet.send("state", plain, 1)
        becomes(browser, "#verdict", "plain")
        count = "return document.querySelectorAll('*').length"
        elements = browser.run(count)
        for attack in documents.ATTACKS:
            puppet.send("state", documents.attacked(attack), 2)
            puppet.send("change", documents.attacked(attack), 3)
            puppet.tick(3, traffic=documents.attacked(attack)["traffic"])
            name = lambda: browser.run("return document.querySelector('#rows th').textContent")
            until(lambda: name() == visible(attack),
                  lambda: f"{attack!r} is shown as {name()!r}; {browser.text('#alarm')}")
            # Two transitions instead of one, as soon as the page has the change too.
            until(lambda: browser.run("return document.querySelectorAll('#history tr').length") == 2,
                  f"the change with {attack!r} is not shown")
            rows_more = browser.run("return document.querySelector('#history tr').querySelectorAll('*').length") + 1
            same(f"the elements with {attack!r}", elements + rows_more, browser.run(count))
        same("what the attacks set", None, browser.run("return window.attacked ?? null"))
        is_inert(browser, puppet.address)
    with_puppet(check)


def visible(text):
    """A text as the page shows it, without characters that change others."""
    hidden = "\u202e\u2066\u0000\u001b\r\n\u2028\U000e0041"
    return "".join(" " if character in hidden else character for character in text)


MEMBERS = {"total": 7, "ready": 4, "states": {"failing": 3, "ready": 4}}


def check_a_group_links_to_its_members():
    def check(browser, puppet):
        links = lambda: browser.run("return [...document.querySelectorAll('#rows a')].map(it => [it.textContent, it.getAttribute('href')])")
        puppet.send("state", whole([subsystem("upstream", members=MEMBERS)]), 1)
        until(lambda: links() == [["3 failing", "/statusz/upstream?state=failing"],
                                  ["4 ready", "/statusz/upstream?state=ready"]], lambda: f"the links are {links()}")
        # The counts follow, and an empty group has none.
        puppet.send("change", whole([subsystem("upstream", members={"total": 0, "ready": 0, "states": {}})], 2), 2)
        until(lambda: links() == [], lambda: f"the links are {links()}")
        becomes(browser, "#rows", "members: none")
        is_inert(browser, puppet.address)
    with_puppet(check)


def check_5000_subsystems_stay_usable():
    def check(browser, puppet):
        many = [subsystem(f"upstream-{number}") for number in range(5_000)]
        many[4_321] = subsystem("upstream-4321", "failing", "timeout")
        document = whole(many)
        browser.run("window.blocked = 0; new PerformanceObserver(list => { for (const it of list.getEntries()) "
                    "window.blocked = Math.max(window.blocked, it.duration) }).observe({type: 'longtask'})")
        puppet.send("state", document, 1)
        until(lambda: rows(browser)[:1] == ["upstream-4321"], "the red one is not first")
        puppet.tick()
        until(lambda: len(rows(browser)) == 5_000, "rows are missing", 60)
        same("each row once", 5_000, len(set(rows(browser))))
        # One changes, and moves; the others keep their elements.
        browser.run("for (const row of document.querySelectorAll('#rows tr')) row.kept = 1")
        puppet.send("change", whole([subsystem("upstream-4321")], 2), 2)
        puppet.send("change", whole([subsystem("upstream-77", "dead", "gone")], 3), 3)
        puppet.tick(3)
        until(lambda: rows(browser)[0] == "upstream-77", "the dead one is not first")
        # Back in its place by declaration.
        until(lambda: rows(browser)[4_321] == "upstream-4321", lambda: f"it is elsewhere: {rows(browser)[4_319:4_323]}")
        same("kept elements", 5_000, browser.run("return [...document.querySelectorAll('#rows tr')].filter(row => row.kept).length"))
        # By keyboard: the filter is the first thing to reach.
        browser.press("\ue004")
        same("the focus", "filter", browser.run("return document.activeElement.id"))
        browser.press("STREAM-49")
        expected = {"upstream-49"} | {f"upstream-{it}" for it in range(490, 500)} | \
            {f"upstream-{it}" for it in range(4_900, 5_000)}
        until(lambda: set(rows(browser)) == expected, "the filter shows others")
        becomes(browser, "#count", f"{len(expected)} of 5000")
        # A row that arrives later obeys the filter, and a retired one is gone.
        puppet.send("change", {**whole([subsystem("late"), subsystem("stream-49-late")], 4), "removed": ["upstream-49"]}, 4)
        expected = expected - {"upstream-49"} | {"stream-49-late"}
        until(lambda: set(rows(browser)) == expected, "the filter misses later rows")
        print(f"    longest task: {browser.run('return window.blocked'):.0f} ms")
        is_inert(browser, puppet.address)
    with_puppet(check)


def check_the_memory_of_a_day():
    """43,200 ticks and as many changes: one of each every 2 seconds, all day."""
    def check(browser, puppet):
        names = [f"part-{number}" for number in range(50)]
        puppet.send("state", whole([subsystem(name) for name in names]), 1)
        sent = 1

        def send(count):
            nonlocal sent
            for _ in range(count):
                sent += 1
                name, state = names[sent % 50], ["failing", "ready"][sent // 50 % 2]
                reason = f"error {sent} at {'x' * 200}"
                change = whole([subsystem(name, state, reason)], sent)
                change["history"] = [transition(sent, name, "ready", state, reason)]
                puppet.send("change", change, sent)
                puppet.tick(sent)
            seen = "return [...document.querySelectorAll('#facts dd')].at(-1).textContent"
            until(lambda: browser.run(seen) == str(sent), f"the page is behind at {sent}", 120)
        send(4_320)
        before, elements = browser.heap(), browser.run("return document.querySelectorAll('*').length")
        send(38_880)
        after = browser.heap()
        print(f"    heap: {before / 1e6:.2f} MB after 2.4 hours, {after / 1e6:.2f} MB after a day")
        # Compiled code takes a megabyte or two; 60 bytes kept of each event would show.
        assert after < before + 2_000_000, f"the heap grew from {before} to {after}"
        now = browser.run("return document.querySelectorAll('*').length")
        assert now < elements + 200, f"the elements grew from {elements} to {now}"
        same("rows of the history", 256, browser.run("return document.querySelectorAll('#history tr').length"))
        same("the console", [], browser.errors())
    # The driver would keep a line for each event.
    with_puppet(check, logs_requests=False)


def check_errors_turn_the_page_grey_and_it_comes_back():
    def check(browser, puppet):
        live = lambda: (puppet.tick(), colour(browser, GREEN))
        puppet.send("state", whole([subsystem("storage")]), 7)
        live()
        # A listener whose streams are all taken answers 503, at which an EventSource gives up.
        puppet.status = 503
        puppet.hang_up()
        colour(browser, GREY)
        becomes(browser, "#alarm", "no news since")
        until(lambda: len(puppet.resumed) >= 3, "the page does not try again")
        puppet.status = 200
        until(lambda: puppet.clients, "the page does not come back")
        same("where it resumes", "puppet.7", puppet.resumed[-1])
        live()
        # From the browser's cache: grey until the next event.
        browser.run("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
        same("the header at once", GREY, browser.run(HEADER))
        until(lambda: len(puppet.resumed) >= 5, "the page does not connect again")
        until(lambda: (puppet.tick(), browser.run(HEADER) == GREEN)[1], "the page stays grey")
        # An event that is no JSON.
        for client in list(puppet.clients):
            client.put(b"event: state\ndata: {nonsense\n\n")
        colour(browser, GREY)
    with_puppet(check)


# === what people see ===

def show(puppet, browser, process):
    document = process.status()
    puppet.send("state", document, document["version"])
    puppet.tick(document["version"])
    becomes(browser, "#news", "live")


def check_people_can_read_it():
    def check(browser, puppet):
        red = whole([subsystem("storage", "failing", "disk full", ttl_ms=30_000),
                     subsystem("cache", "degraded", "slow"), subsystem("queue", "starting"),
                     subsystem("policy", "stale", "silent"), subsystem("listener"),
                     subsystem("upstream", "degraded", "4 of 7 ready", members=MEMBERS)],
                    scopes=[{"name": "search", "condition": "failing", "ready": False,
                             "because_of": ["storage"], "refused": {"failing": 4}}],
                    history=[transition(1, "storage", "ready", "failing", "disk full")])
        drain = whole([subsystem("storage")], 2, phase="draining", condition="ready",
                      verdicts={"startup": True, "liveness": True, "readiness": False},
                      drain={"delay_ms": 5_000, "longest_delay_ms": 5_000, "cap_ms": 9_000, "left_ms": 4_900})
        for name, document in (("green", whole([subsystem("storage")])), ("red", red), ("draining", drain)):
            for scheme in ("light", "dark"):
                for size in (DESKTOP, PHONE):
                    browser.become(*size, scheme)
                    puppet.send("state", document, 2)
                    puppet.tick(2)
                    becomes(browser, "#news", "live")
                    accessible(browser, f"the {name} page, {scheme}, {size[0]} pixels wide")
                    wide = browser.run("return document.documentElement.scrollWidth")
                    same(f"the width of the {name} page", size[0], wide)
    with_puppet(check)


def take_pictures():
    with Process(PROGRAM) as process, Browser() as browser:
        process.ready()
        process.flip("storage", "failing")
        process.flip("database", "failing")
        process.flip("cache", "degraded")
        for _ in range(7):
            process.request()
        browser.become(960, 1000, "light")
        browser.open(f"http://{process.admin}/")
        becomes(browser, "#news", "live")
        time.sleep(12)  # so that the ages look like ages
        for name, (width, height), scheme in (("light", (960, 1000), "light"), ("dark", (960, 1000), "dark"),
                                              ("phone", PHONE, "light")):
            browser.become(width, height, scheme)
            browser.picture(PICTURES / f"page-{name}.png")


def main():
    # A script that is told to end leaves each `with`, and so ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    wanted = [it for it in sys.argv[3:] if it != "--pictures"]
    if "--pictures" in sys.argv:
        PICTURES.mkdir(exist_ok=True)
        take_pictures()
        if not wanted:
            return
    passed = 0
    for name, check in list(globals().items()):
        if name.startswith("check_") and (not wanted or any(part in name for part in wanted)):
            begin = time.monotonic()
            try:
                check()
            except AssertionError as error:
                sys.exit(f"FAILED: {name}: {error}")
            passed += 1
            print(f"  {name.removeprefix('check_').replace('_', ' ')}: {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{passed} passed, 0 failed")
    if passed == 0:
        sys.exit("FAILED: no check has this name")


if __name__ == "__main__":
    main()

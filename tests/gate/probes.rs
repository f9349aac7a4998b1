//! The answers to probes, word for word.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer, Reason, Reporter, Scope, Subsystem,
    probe::{Detail, Probe, Probes, ProbesError},
};

struct Demo {
    readiness: Readiness,
    storage: Reporter,
    database: Reporter,
    index: Reporter,
}

fn demo() -> Demo {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital())
        .subsystem(Subsystem::new("database").shared())
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index", "database"])
        .build()
        .unwrap();
    let [storage, database, index] =
        ["storage", "database", "index"].map(|name| readiness.reporter(name).unwrap());
    Demo {
        readiness,
        storage,
        database,
        index,
    }
}

impl Demo {
    fn all_ready() -> Self {
        let demo = demo();
        for reporter in [&demo.storage, &demo.database, &demo.index] {
            reporter.ready();
        }
        demo
    }

    fn probes(&self, detail: Detail) -> Probes {
        Probes::builder(&self.readiness)
            .detail(detail)
            .build()
            .unwrap()
    }

    async fn get(&self, detail: Detail, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(String::new()).unwrap();
        read(self.probes(detail).oneshot(request).await.unwrap()).await
    }

    async fn json(&self, detail: Detail, path: &str) -> Value {
        let request = Request::get(path).header(header::ACCEPT, "application/json");
        let probes = self.probes(detail);
        let response = probes
            .oneshot(request.body(String::new()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        serde_json::from_str(&read(response).await.1).unwrap()
    }
}

async fn read<B>(response: Response<B>) -> (StatusCode, String)
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn green(body: &str) -> (StatusCode, String) {
    (StatusCode::OK, body.to_owned())
}

fn red(body: &str) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, body.to_owned())
}

// === verdicts ===

#[tokio::test]
async fn subsystems_that_only_a_restart_mends_are_named_first() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("worker").vital())
        .build()
        .unwrap();
    let [storage, worker] = ["storage", "worker"].map(|name| readiness.reporter(name).unwrap());
    storage.failing("no answer");
    worker.dead("panicked");
    let request = Request::get("/readyz").body(String::new()).unwrap();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let (_, body) = read(probes.oneshot(request).await.unwrap()).await;
    assert_eq!(body, "not ready: worker dead, storage failing\n");
}

#[tokio::test]
async fn each_probe_follows_its_column_of_the_truth_table() {
    let demo = demo();
    let answers = async || {
        let mut green = Vec::new();
        for path in ["/startupz", "/livez", "/healthz", "/readyz", "/statusz"] {
            let (status, body) = demo.get(Detail::None, path).await;
            assert_eq!(status == StatusCode::OK, status.is_success(), "{body}");
            green.push(status.is_success());
        }
        let [startup, live, health, ready, status] = green[..] else {
            unreachable!()
        };
        assert_eq!(health, live);
        assert!(status, "the status page is for people");
        (startup, live, ready)
    };

    assert_eq!(answers().await, (false, true, false), "starting");
    demo.storage.ready();
    assert_eq!(
        answers().await,
        (true, true, false),
        "awaiting the shared one"
    );
    demo.database.ready();
    assert_eq!(answers().await, (true, true, true), "ready");
    demo.database.dead("gone");
    demo.index.dead("gone");
    assert_eq!(answers().await, (true, true, true), "degraded");
    demo.storage.failing("gone");
    assert_eq!(answers().await, (true, true, false), "failing");
    demo.storage.dead("gone");
    assert_eq!(answers().await, (true, false, false), "vital dead");
    demo.storage.ready();
    let pause = demo.readiness.pause("standby");
    assert_eq!(answers().await, (true, true, false), "paused");
    drop(pause);
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        demo.readiness.advance(phase);
        assert_eq!(answers().await, (true, true, false), "{phase}");
    }
}

#[tokio::test]
async fn a_process_told_to_drain_before_it_started_never_starts() {
    let demo = demo();
    demo.readiness.drain();
    demo.storage.ready();
    demo.database.ready();
    assert_eq!(
        demo.get(Detail::None, "/startupz").await,
        red("not started\n")
    );
    assert_eq!(
        demo.get(Detail::Names, "/startupz?exclude=index").await,
        red("not started\n")
    );
}

// === text ===

#[tokio::test]
async fn without_detail_there_is_the_verdict_and_nothing_else() {
    let demo = demo();
    for (path, answer) in [
        ("/readyz", red("not ready\n")),
        (
            "/readyz?verbose&exclude=storage&wait=abc",
            red("not ready\n"),
        ),
        ("/livez", green("live\n")),
        ("/healthz", green("live\n")),
        ("/startupz", red("not started\n")),
        ("/statusz", green("not ready\n")),
    ] {
        assert_eq!(demo.get(Detail::None, path).await, answer, "{path}");
    }
    for name in ["storage", "search", "unknown"] {
        let (status, body) = demo.get(Detail::None, &format!("/readyz/{name}")).await;
        assert_eq!((status, &*body), (StatusCode::NOT_FOUND, "not found\n"));
    }
}

#[tokio::test]
async fn names_show_the_subsystems_and_full_shows_the_reasons() {
    let demo = demo();
    demo.storage.starting("replaying the log");
    for (detail, answer) in [
        (
            Detail::Names,
            "not ready: storage starting, database starting\n",
        ),
        (
            Detail::Full,
            "not ready: storage starting (replaying the log), database starting\n",
        ),
    ] {
        assert_eq!(demo.get(detail, "/readyz").await, red(answer));
    }
    assert_eq!(
        demo.get(Detail::Names, "/startupz").await,
        red("not started: storage starting\n"),
        "the startup latch does not wait for the shared one"
    );

    demo.storage.ready();
    demo.database.ready();
    demo.index.degraded("rebuilding");
    assert_eq!(
        demo.get(Detail::Full, "/readyz").await,
        green("ready (degraded): index degraded (rebuilding)\n")
    );
    demo.storage.dead("disk\ngone");
    assert_eq!(
        demo.get(Detail::Full, "/livez").await,
        red("not live: storage dead (disk gone)\n")
    );
    demo.storage.ready();
    let _pause = demo.readiness.pause("standby");
    assert_eq!(
        demo.get(Detail::Names, "/readyz").await,
        red("not ready: paused\n")
    );
    demo.readiness.drain();
    assert_eq!(
        demo.get(Detail::Full, "/readyz").await,
        red("not ready: draining, paused (standby)\n")
    );
}

#[tokio::test(start_paused = true)]
async fn verbose_has_a_line_for_each_subsystem_and_scope() {
    let demo = demo();
    demo.storage.ready();
    demo.database.failing("connection refused");
    demo.index.ready();
    demo.index.attribute("documents", "12").unwrap();
    let late = demo.readiness.add(Subsystem::new("late")).unwrap();
    late.starting("");
    tokio::time::advance(Duration::from_secs(75)).await;

    assert_eq!(
        demo.get(Detail::Names, "/readyz?verbose").await,
        red("[+]storage ready (required, vital)\n\
             [-]database failing (shared)\n\
             [+]index ready (optional)\n\
             [-]late starting (required, pending)\n\
             [-]search starting (scope): database failing\n\
             not ready: database failing\n")
    );
    assert_eq!(
        demo.get(Detail::Full, "/statusz").await,
        green(
            "[+]storage ready (required, vital) for 1m\n\
             [-]database failing (shared) for 1m: connection refused\n\
             [+]index ready (optional) for 1m documents=12\n\
             [-]late starting (required, pending) for 1m\n\
             [-]search starting (scope): database failing (connection refused)\n\
             [>]1m ago: storage starting -> ready after 0ms\n\
             [>]1m ago: phase starting -> started after 0ms\n\
             [>]1m ago: database starting -> failing after 0ms (connection refused)\n\
             [>]1m ago: index starting -> ready after 0ms\n\
             [>]1m ago: late added, starting\n\
             not ready: database failing (connection refused)\n"
        )
    );
    let (_, names) = demo.get(Detail::Names, "/statusz").await;
    let history = "[>]storage starting -> ready\n\
                   [>]phase starting -> started\n\
                   [>]database starting -> failing\n\
                   [>]index starting -> ready\n\
                   [>]late added, starting\n\
                   not ready: database failing\n";
    assert!(names.ends_with(history), "{names}");
}

/// The text has the newest transitions alone, and each in one line.
#[tokio::test]
async fn the_text_of_the_status_has_sixteen_transitions() {
    let demo = demo();
    for _ in 0..40 {
        demo.database.ready();
        demo.database.failing("a\nb <i>\u{202e}");
    }
    let (_, body) = demo.get(Detail::Full, "/statusz").await;
    let lines: Vec<_> = body
        .lines()
        .filter(|line| line.starts_with("[>]"))
        .collect();
    assert_eq!(lines.len(), 16, "{body}");
    assert!(lines[15].ends_with("(a b <i> )"), "{body}");
    let status = demo.json(Detail::Full, "/statusz").await;
    assert_eq!(status["history"].as_array().unwrap().len(), 80);
    let excluding = demo.json(Detail::Full, "/statusz?exclude=index").await;
    assert_eq!(excluding["history"], serde_json::Value::Null);
    assert_eq!(
        demo.json(Detail::Full, "/readyz").await["history"],
        serde_json::Value::Null
    );
}

#[tokio::test(start_paused = true)]
async fn an_unclaimed_subsystem_shows_as_such_and_so_does_a_dropped_reporter() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let get = async || {
        let request = Request::get("/readyz?verbose").body(String::new()).unwrap();
        read(probes.clone().oneshot(request).await.unwrap()).await
    };
    assert_eq!(
        get().await,
        red("[-]storage starting (required, unclaimed) for 0ms\nnot ready: storage starting\n")
    );
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    drop(storage);
    assert_eq!(
        get().await,
        red(
            "[-]storage failing (required) for 0ms: reporter dropped; was ready; keep the reporter, \
             or call leave_ready()\n\
             not ready: storage failing (reporter dropped; was ready; keep the reporter, or call \
             leave_ready())\n"
        )
    );
}

#[tokio::test]
async fn a_long_list_of_culprits_is_cut() {
    let builder = (0..20).fold(Readiness::builder(), |builder, index| {
        builder.subsystem(Subsystem::new(format!("s{index}")))
    });
    let readiness = builder.build().unwrap();
    let request = Request::get("/readyz").body(String::new()).unwrap();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let (_, body) = read(probes.oneshot(request).await.unwrap()).await;
    assert!(body.ends_with("s7 starting, 12 more\n"), "{body}");
}

// === scopes and subsystems ===

#[tokio::test]
async fn a_scope_names_the_members_that_are_the_cause() {
    let demo = Demo::all_ready();
    let line = async |detail| {
        let (_, body) = demo.get(detail, "/readyz?verbose").await;
        let line = body.lines().find(|line| line[3..].starts_with("search"));
        line.unwrap().to_owned()
    };
    assert_eq!(line(Detail::Full).await, "[+]search ready (scope)");
    demo.index.degraded("rebuilding");
    assert_eq!(
        line(Detail::Full).await,
        "[+]search degraded (scope): index degraded (rebuilding)"
    );
    demo.database.failing("connection refused");
    assert_eq!(
        line(Detail::Full).await,
        "[-]search failing (scope): database failing (connection refused)"
    );
    assert_eq!(
        line(Detail::Names).await,
        "[-]search failing (scope): database failing"
    );
    // The storage is not a member, but a vital subsystem makes every scope red.
    demo.storage.dead("disk gone");
    assert_eq!(
        line(Detail::Names).await,
        "[-]search failing (scope): database failing"
    );
}

#[tokio::test]
async fn status_has_the_refusals_of_each_gate_and_of_a_dry_run() {
    let demo = demo();
    let search = demo.readiness.scope("search").unwrap();
    let process = ReadinessLayer::new(&demo.readiness);
    let gate = ReadinessLayer::gate(&search);
    let ask = async |layer: &ReadinessLayer, times| {
        for _ in 0..times {
            let inner = service_fn(async |_: Request<Empty<Bytes>>| {
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            });
            let request = Request::get("/").body(Empty::new()).unwrap();
            layer.layer(inner).oneshot(request).await.unwrap();
        }
    };
    let counts = async || {
        let (_, body) = demo.get(Detail::Names, "/statusz").await;
        let counts = body.lines().filter(|line| line.contains("refused"));
        counts.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [""; 0]);

    ask(&process, 1).await;
    ask(&gate, 2).await;
    ask(&gate.clone().dry_run(), 4).await;
    demo.readiness.advance(Phase::Closed);
    ask(&gate, 8).await;
    ask(&process.clone().dry_run(), 16).await;
    assert_eq!(
        counts().await,
        [
            "[-]search starting (scope): index starting, database starting; \
             refused 8 closed, 2 starting; a dry run would have refused 4 starting",
            "refused: 8 closed, 3 starting",
            "a dry run would have refused: 16 closed, 4 starting",
            "[>]phase starting -> closed, 3 refused",
        ]
    );
    let status = demo.json(Detail::Names, "/statusz").await;
    let traffic = &status["traffic"];
    assert_eq!(traffic["refused"], json!({"closed": 8, "starting": 3}));
    assert_eq!(
        traffic["dry_run_refused"],
        json!({"closed": 16, "starting": 4})
    );
    let search_status = &status["scopes"][0];
    assert_eq!(
        search_status["refused"],
        json!({"closed": 8, "starting": 2})
    );
    assert_eq!(search_status["dry_run_refused"], json!({"starting": 4}));

    let process = Scope::from(&demo.readiness);
    for (reason, of_search, of_process, of_all) in [
        (Reason::Starting, (2, 4), (1, 0), (3, 4)),
        (Reason::Closed, (8, 0), (0, 16), (8, 16)),
    ] {
        let of = |scope: &Scope| (scope.refused(reason), scope.dry_run_refused(reason));
        assert_eq!(of(&search), of_search, "{reason}");
        assert_eq!(of(&process), of_process, "{reason}");
        let all = &demo.readiness;
        assert_eq!((all.refused(reason), all.dry_run_refused(reason)), of_all);
    }
    // Probes omit the counts, because they are sent often.
    let (_, body) = demo.get(Detail::Names, "/readyz?verbose").await;
    assert!(!body.contains("refused"), "{body}");
}

#[tokio::test]
async fn a_scope_and_a_subsystem_have_an_answer_of_their_own() {
    let demo = Demo::all_ready();
    demo.index.failing("corrupt");
    for (name, answer) in [
        ("search", red("not ready: index failing\n")),
        ("index", red("not ready: index failing\n")),
        ("index/", red("not ready: index failing\n")),
        ("database", green("ready\n")),
    ] {
        let answered = demo.get(Detail::Names, &format!("/readyz/{name}")).await;
        assert_eq!(answered, answer, "{name}");
    }
    assert_eq!(
        demo.get(Detail::Names, "/readyz").await,
        green("ready (degraded): index failing\n")
    );
    // It lists no scope.
    let search = demo.get(Detail::Names, "/readyz/search?verbose").await;
    assert_eq!(
        search,
        red("[-]index failing (optional)\n[+]database ready (shared)\nnot ready: index failing\n")
    );
    let search = demo.json(Detail::Full, "/readyz/search").await;
    assert!(search.get("scopes").is_none(), "{search}");
    for name in ["unknown", "a/b", "storage/x", "%73torage", "//"] {
        let (status, body) = demo.get(Detail::Full, &format!("/readyz/{name}")).await;
        assert_eq!((status, &*body), (StatusCode::NOT_FOUND, "not found\n"));
    }
}

#[tokio::test]
async fn an_address_is_the_name_of_a_subsystem_or_a_scope() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("10.0.0.1:8080"))
        .subsystem(Subsystem::new("[::1]:8080").optional())
        .scope("upstream:[::1]", ["[::1]:8080"])
        .build()
        .unwrap();
    let [v4, v6] = ["10.0.0.1:8080", "[::1]:8080"].map(|it| readiness.reporter(it).unwrap());
    v4.failing("refused");
    v6.ready();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let get = async |path: &str, accept: &str| {
        let request = Request::get(path).header(header::ACCEPT, accept);
        let request = request.body(String::new()).unwrap();
        read(probes.clone().oneshot(request).await.unwrap()).await
    };
    let text = async |path: &str| get(path, "text/plain").await;
    for path in ["10.0.0.1:8080", "10.0.0.1%3A8080", "10.0.0.1%3a8080"] {
        let answer = text(&format!("/readyz/{path}")).await;
        assert_eq!(answer, red("not ready: 10.0.0.1:8080 failing\n"), "{path}");
        let answer = text(&format!("/readyz?exclude={path}")).await;
        assert_eq!(answer, green("ready\n"), "{path}");
    }
    for path in ["[::1]:8080", "%5B::1%5D:8080", "%5b%3A%3a1%5d%3A8080"] {
        let answer = text(&format!("/readyz/{path}")).await;
        assert_eq!(answer, green("ready\n"), "{path}");
    }

    v4.ready();
    v6.failing("refused");
    for path in ["upstream:[::1]", "upstream%3A%5B::1%5D"] {
        let answer = text(&format!("/readyz/{path}")).await;
        assert_eq!(answer, red("not ready: [::1]:8080 failing\n"), "{path}");
        for excluded in ["[::1]:8080", "%5B::1%5D%3A8080"] {
            let answer = text(&format!("/readyz/{path}?exclude={excluded}")).await;
            assert_eq!(answer, green("ready\n"), "{path} {excluded}");
        }
    }
    assert_eq!(
        text("/readyz?verbose&exclude=[::2]:1").await,
        green(
            "no subsystem to exclude: [::2]:1\n\
             [+]10.0.0.1:8080 ready (required)\n\
             [-][::1]:8080 failing (optional)\n\
             [-]upstream:[::1] failing (scope): [::1]:8080 failing\n\
             ready (degraded): [::1]:8080 failing\n"
        )
    );
    let (_, json) = get("/statusz", "application/json").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["subsystems"][1]["name"], "[::1]:8080");
    assert_eq!(json["scopes"][0]["because_of"], json!(["[::1]:8080"]));
}

#[tokio::test]
async fn a_member_can_be_excluded_from_its_scope() {
    let demo = Demo::all_ready();
    demo.index.failing("corrupt");
    for (query, answer) in [
        ("exclude=database", red("not ready: index failing\n")),
        ("exclude=index", green("ready\n")),
    ] {
        let answered = demo
            .get(Detail::Names, &format!("/readyz/search?{query}"))
            .await;
        assert_eq!(answered, answer, "{query}");
    }
}

#[tokio::test]
async fn a_vital_death_reddens_every_scope_and_subsystem() {
    let demo = Demo::all_ready();
    demo.storage.dead("gone");
    for name in ["search", "index"] {
        let (status, _) = demo.get(Detail::Names, &format!("/readyz/{name}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{name}");
    }
}

// === exclude ===

#[tokio::test]
async fn a_process_that_has_started_stays_started_whatever_is_excluded() {
    let demo = demo();
    demo.storage.ready();
    demo.database.ready();
    demo.readiness.drain();
    let started = demo.get(Detail::Names, "/startupz?exclude=index").await;
    assert_eq!(started, green("started\n"));
}

#[tokio::test]
async fn an_excluded_subsystem_does_not_count_and_an_unknown_one_is_reported() {
    let demo = demo();
    demo.storage.dead("gone");
    demo.database.ready();
    demo.index.ready();
    for (path, answer) in [
        ("/readyz?exclude=storage", green("ready\n")),
        ("/livez?exclude=storage", green("live\n")),
        ("/startupz?exclude=storage", green("started\n")),
        ("/readyz/search?exclude=storage", green("ready\n")),
        ("/readyz/search?exclude=index", red("not ready\n")),
        (
            "/readyz?exclude=index&exclude=nobody",
            red("no subsystem to exclude: nobody\nnot ready: storage dead\n"),
        ),
        (
            "/readyz?verbose&exclude=storage",
            green(
                "[+]storage dead (required, vital, excluded)\n\
                 [+]database ready (shared)\n\
                 [+]index ready (optional)\n\
                 [-]search ready (scope)\n\
                 ready\n",
            ),
        ),
    ] {
        assert_eq!(demo.get(Detail::Names, path).await, answer, "{path}");
    }
    assert!(!demo.readiness.verdict().is_ready(), "no gate has changed");
}

// === bad queries ===

#[tokio::test]
async fn verbose_can_be_turned_off_and_a_value_that_means_nothing_is_reported() {
    let demo = Demo::all_ready();
    let verbose = demo.get(Detail::Names, "/readyz?verbose").await;
    for yes in ["=", "=true", "=1", "=yes"] {
        let path = format!("/readyz?verbose{yes}");
        assert_eq!(demo.get(Detail::Names, &path).await, verbose, "{path}");
    }
    for no in ["=false", "=0", "=no"] {
        let path = format!("/readyz?verbose{no}");
        let answer = demo.get(Detail::Names, &path).await;
        assert_eq!(answer, green("ready\n"), "{path}");
    }
    let answer = demo.get(Detail::Names, "/readyz?verbose=maybe").await;
    let reported = "verbose takes true or false, not maybe";
    assert_eq!(answer, green(&format!("{reported}\nready\n")));
    let answer = demo.json(Detail::Names, "/readyz?verbose=maybe").await;
    assert_eq!(answer["unclear"], reported);
    let answer = demo.get(Detail::None, "/readyz?verbose=maybe").await;
    assert_eq!(answer, green("ready\n"));
}

#[tokio::test]
async fn a_malformed_query_is_400_with_the_cause_in_one_line() {
    let demo = Demo::all_ready();
    let wait = "wait takes whole seconds, 0 to 60\n";
    let exclude = "exclude takes the name of a subsystem\n";
    for (query, cause) in [
        ("wait=abc", wait),
        ("wait=1e9", wait),
        ("wait=61", wait),
        ("wait", wait),
        ("until=blue", "until takes red or green\n"),
        ("exclude", exclude),
        ("exclude=", exclude),
        ("verbose&exclude=", exclude),
    ] {
        let answer = demo.get(Detail::Names, &format!("/readyz?{query}")).await;
        assert_eq!(answer, (StatusCode::BAD_REQUEST, cause.into()), "{query}");
    }
    let answer = demo.get(Detail::Names, "/readyz/index?exclude=index").await;
    let cause = "exclude is for the process and for scopes\n".into();
    assert_eq!(answer, (StatusCode::BAD_REQUEST, cause));
    let until_red = "/statusz?wait=60&until=red";
    let answer = demo.get(Detail::Names, until_red).await;
    let cause = "until=red is for the other probes: the status is always green\n".into();
    assert_eq!(answer, (StatusCode::BAD_REQUEST, cause));
    let (status, _) = demo
        .get(Detail::Names, "/statusz?wait=60&until=green")
        .await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = demo.get(Detail::None, until_red).await;
    assert_eq!(status, StatusCode::OK, "no query counts");
    let answer = demo.get(Detail::Names, "/readyz?unheard=of&&=").await;
    assert_eq!(answer, green("ready\n"));
}

// === wait ===

#[tokio::test(start_paused = true)]
async fn a_wait_is_over_as_soon_as_it_is_green() {
    let demo = demo();
    let request = || Request::get("/readyz?wait=5").body(String::new()).unwrap();
    let mut probes = demo.probes(Detail::Names);
    let mut waiting = task::spawn(probes.call(request()));
    assert_pending!(waiting.poll());
    demo.storage.ready();
    assert_pending!(waiting.poll());
    demo.database.ready();
    assert!(waiting.is_woken());
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.status(), StatusCode::OK);

    let mut at_once = task::spawn(probes.call(request()));
    assert_ready_ok!(at_once.poll());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_red_when_its_time_is_up_or_there_is_nothing_to_wait_for() {
    let demo = demo();
    let mut probes = demo.probes(Detail::Names);
    let mut call = |path: &str| {
        let request = Request::get(path).body(String::new()).unwrap();
        task::spawn(probes.call(request))
    };
    let mut waiting = call("/startupz?wait=5");
    assert_pending!(waiting.poll());
    tokio::time::advance(Duration::from_millis(5_001)).await;
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);

    let response = assert_ready_ok!(call("/readyz?wait=0").poll());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);

    let mut waiting = call("/readyz?wait=60");
    assert_pending!(waiting.poll());
    demo.readiness.drain();
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_status_says_how_much_time_the_end_of_the_process_needs() {
    let demo = Demo::all_ready();
    let plan = "plan: serves 1.5 s after the signal to drain, finishes for up to 20 s: allow more \
                than 21.5 s (terminationGracePeriodSeconds, TimeoutStopSec)\n";
    let shows_plan = async |path| demo.get(Detail::Names, path).await.1.contains(plan);
    assert!(!shows_plan("/statusz").await, "nothing is planned");
    let shutdown = demo
        .readiness
        .shutdown()
        .delay(Duration::from_millis(1_500));
    let _shutdown = shutdown.build().unwrap();
    assert!(shows_plan("/statusz").await);
    assert!(!shows_plan("/readyz?verbose").await, "the status alone");
}

#[tokio::test(start_paused = true)]
async fn a_wait_until_red_ends_with_the_readiness_the_time_or_the_drain() {
    let demo = Demo::all_ready();
    let mut probes = demo.probes(Detail::Names);
    let mut call = |path: &str| {
        let request = Request::get(path).body(String::new()).unwrap();
        task::spawn(probes.call(request))
    };
    let mut waiting = call("/readyz?wait=60&until=red");
    let mut of_search = call("/readyz/search?until=red&wait=60");
    let mut times_out = call("/readyz?wait=5&until=red");
    let mut of_liveness = call("/livez?wait=60&until=red");
    for wait in [
        &mut waiting,
        &mut of_search,
        &mut times_out,
        &mut of_liveness,
    ] {
        assert_pending!(wait.poll());
    }
    let green = assert_ready_ok!(call("/readyz?wait=60&until=green").poll());
    assert_eq!(green.status(), StatusCode::OK);
    tokio::time::advance(Duration::from_millis(5_001)).await;
    assert_eq!(assert_ready_ok!(times_out.poll()).status(), StatusCode::OK);

    demo.storage.failing("gone");
    let red = assert_ready_ok!(waiting.poll());
    assert_eq!(red.status(), StatusCode::SERVICE_UNAVAILABLE);
    let red = assert_ready_ok!(call("/readyz?wait=60&until=red").poll());
    assert_eq!(red.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_pending!(of_search.poll());
    demo.readiness.drain();
    let red = assert_ready_ok!(of_search.poll());
    assert_eq!(red.status(), StatusCode::SERVICE_UNAVAILABLE);
    let live = assert_ready_ok!(of_liveness.poll());
    assert_eq!(
        live.status(),
        StatusCode::OK,
        "a wait does not delay the drain"
    );
}

#[tokio::test]
async fn while_draining_every_answer_has_the_header_for_envoy() {
    let demo = Demo::all_ready();
    let probes = Probes::builder(&demo.readiness)
        .detail(Detail::Names)
        .envoy_headers()
        .build()
        .unwrap();
    let flag = "x-envoy-immediate-health-check-fail";
    let is_marked = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(String::new()).unwrap();
        let response = probes.clone().oneshot(request).await.unwrap();
        let flag = response.headers().get(flag);
        flag.is_some_and(|flag| flag == "true")
    };
    demo.storage.failing("gone");
    let request = Request::get("/readyz?wait=60").body(String::new()).unwrap();
    let mut waiting = task::spawn(probes.clone().oneshot(request));
    assert_pending!(waiting.poll());
    for draining in [false, true] {
        for path in [
            "/readyz",
            "/livez",
            "/healthz",
            "/startupz",
            "/statusz",
            "/readyz/search",
            "/readyz/nobody",
            "/readyz?wait=x",
            "/nothing",
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let marked = is_marked(method.clone(), path).await;
                assert_eq!(marked, draining, "{method} {path}");
            }
        }
        demo.readiness.drain();
    }
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.headers()[flag], "true");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_subsystem_that_retires_ends() {
    let demo = demo();
    let late = demo.readiness.add(Subsystem::new("late")).unwrap();
    let mut probes = demo.probes(Detail::Names);
    let request = Request::get("/readyz/late?wait=60")
        .body(String::new())
        .unwrap();
    let mut waiting = task::spawn(probes.call(request));
    assert_pending!(waiting.poll());
    late.retire();
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_waits_are_waited_for() {
    let demo = demo();
    let mut probes = demo.probes(Detail::Names);
    let mut call = || {
        let request = Request::head("/readyz?wait=60")
            .body(String::new())
            .unwrap();
        task::spawn(probes.call(request))
    };
    let mut waiting: Vec<_> = (0..256).map(|_| call()).collect();
    assert!(waiting.iter_mut().all(|wait| wait.poll().is_pending()));
    assert_ready_ok!(call().poll());
    waiting.pop();
    assert_pending!(call().poll());
}

#[test]
fn without_a_runtime_a_wait_is_answered_at_once() {
    let demo = demo();
    let request = Request::get("/readyz?wait=60").body(String::new()).unwrap();
    let mut waiting = task::spawn(demo.probes(Detail::Names).call(request));
    let response = assert_ready_ok!(waiting.poll());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn on_a_runtime_without_timers_a_wait_is_answered_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let demo = demo();
    let request = Request::get("/readyz?wait=60").body(String::new()).unwrap();
    let answer = demo.probes(Detail::Names).oneshot(request);
    let response = runtime.unwrap().block_on(answer).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

// === methods and headers ===

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_405() {
    let demo = demo();
    let call = async |method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let probes = demo.probes(Detail::Full);
        probes
            .oneshot(request.body(String::new()).unwrap())
            .await
            .unwrap()
    };
    for (path, expected) in [
        ("/readyz?verbose", StatusCode::SERVICE_UNAVAILABLE),
        ("/readyz?wait=abc", StatusCode::BAD_REQUEST),
        ("/livez/", StatusCode::OK),
        ("/nothing", StatusCode::NOT_FOUND),
    ] {
        let (status, body) = read(call(Method::HEAD, path).await).await;
        assert_eq!((status, &*body), (expected, ""), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = call(method, "/livez").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }
}

#[tokio::test]
async fn no_answer_is_cached_or_sniffed_and_other_paths_are_404() {
    let demo = demo();
    for (path, status) in [
        ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
        ("/livez", StatusCode::OK),
        ("/", StatusCode::NOT_FOUND),
        ("/readyzz", StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(path).body(String::new()).unwrap();
        let response = demo.probes(Detail::None).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let headers = response.headers();
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(!headers.contains_key(header::LOCATION));
    }
}

#[tokio::test]
async fn load_balancers_that_understand_more_than_one_bit_get_more() {
    let demo = Demo::all_ready();
    let probes = Probes::builder(&demo.readiness)
        .envoy_headers()
        .not_found_while_draining()
        .build()
        .unwrap();
    let get = async |path: &str| {
        let request = Request::get(path).body(String::new()).unwrap();
        probes.clone().oneshot(request).await.unwrap()
    };
    assert!(
        !get("/readyz")
            .await
            .headers()
            .contains_key("x-envoy-degraded")
    );
    demo.index.degraded("slow");
    assert_eq!(get("/readyz").await.headers()["x-envoy-degraded"], "true");
    assert!(
        !get("/livez")
            .await
            .headers()
            .contains_key("x-envoy-degraded")
    );

    demo.storage.failing("gone");
    let failing = get("/readyz").await;
    assert_eq!(failing.status(), StatusCode::SERVICE_UNAVAILABLE);
    demo.readiness.drain();
    let draining = get("/readyz").await;
    assert_eq!(draining.status(), StatusCode::NOT_FOUND);
    let flag = "x-envoy-immediate-health-check-fail";
    assert_eq!(draining.headers()[flag], "true");
    assert_eq!(get("/livez").await.status(), StatusCode::OK);
}

// === json ===

#[tokio::test(start_paused = true)]
async fn json_tells_the_same_at_each_level() {
    let demo = demo();
    demo.storage.ready();
    demo.database.failing("line one\nline two \u{1b}[0m");
    demo.index.attribute("documents", "12").unwrap();
    let _pause = demo.readiness.pause("standby");
    tokio::time::advance(Duration::from_millis(1_500)).await;

    let none = demo.json(Detail::None, "/readyz").await;
    assert_eq!(
        none,
        json!({"probe": "readiness", "ok": false, "status": "not ready"})
    );

    let names = demo
        .json(Detail::Names, "/readyz?exclude=index&exclude=nobody")
        .await;
    let version = demo.readiness.snapshot().version();
    assert_eq!(
        names,
        json!({
            "probe": "readiness", "ok": false, "status": "not ready",
            "version": version, "phase": "started", "condition": "starting", "paused": true,
            "subsystems": [
                {"name": "storage", "role": "required", "vital": true, "pending": false, "state": "ready"},
                {"name": "database", "role": "shared", "vital": false, "pending": false, "state": "failing"},
                {"name": "index", "role": "optional", "vital": false, "pending": false, "state": "starting"},
            ],
            "scopes": [{
                "name": "search", "condition": "starting", "ready": false,
                "because_of": ["index", "database"],
            }],
            "excluded": ["index"],
            "unknown": ["nobody"],
        })
    );

    let full = demo.json(Detail::Full, "/readyz/database").await;
    assert_eq!(full["pause_reason"], "standby");
    let [database] = &full["subsystems"].as_array().unwrap()[..] else {
        panic!("one subsystem was asked for: {full}");
    };
    assert_eq!(database["reason"], "line one\nline two \u{1b}[0m");
    assert_eq!(database["claim"], "held");
    assert_eq!(database["for_ms"], 1_500);
    assert_eq!(database["transitions"], 1);
    assert!(database["since_unix_ms"].as_u64().unwrap() > 1_600_000_000_000);
    let index = demo.json(Detail::Full, "/readyz/index").await;
    assert_eq!(
        index["subsystems"][0]["attributes"],
        json!({"documents": "12"})
    );
    assert!(index["subsystems"][0].get("ttl_ms").is_none(), "{index}");
    let policy = Subsystem::new("policy").ttl(Duration::from_secs(30));
    let _policy = demo.readiness.add(policy).unwrap();
    let policy = demo.json(Detail::Full, "/readyz/policy").await;
    assert_eq!(policy["subsystems"][0]["ttl_ms"], 30_000);
}

// === configuration ===

#[tokio::test]
async fn probes_move_and_go() {
    let demo = Demo::all_ready();
    let probes = Probes::builder(&demo.readiness)
        .path(Probe::Readiness, "/internal/ready")
        .without(Probe::Health)
        .build()
        .unwrap();
    let status = async |path: &str| {
        let request = Request::get(path).body(String::new()).unwrap();
        probes.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(status("/internal/ready").await, StatusCode::OK);
    assert_eq!(status("/readyz").await, StatusCode::NOT_FOUND);
    assert_eq!(status("/healthz").await, StatusCode::NOT_FOUND);
    assert_eq!(status("/livez").await, StatusCode::OK);
}

#[test]
fn bad_paths_are_errors_that_name_the_mistake() {
    let demo = demo();
    let error = |path: &str| {
        let probes = Probes::builder(&demo.readiness).path(Probe::Liveness, path);
        probes.build().unwrap_err()
    };
    assert_eq!(
        error("livez").to_string(),
        r#"the path of the liveness probe is "livez"; begin it with `/`"#
    );
    assert_eq!(
        error("/readyz").to_string(),
        r#"the path of the liveness probe is "/readyz", where the readiness probe answers; choose another path, or move or turn off the readiness probe"#
    );
    assert!(matches!(error("/a?b"), ProbesError::MalformedPath { .. }));
}

#[test]
fn probes_may_swap_their_paths_in_any_order() {
    let demo = demo();
    let probes = Probes::builder(&demo.readiness)
        .path(Probe::Health, "/livez")
        .path(Probe::Liveness, "/healthz")
        .build()
        .unwrap();
    let at = |path| probes.paths().find(|(other, _)| *other == path);
    assert_eq!(at("/livez"), Some(("/livez", Probe::Health)));
    assert_eq!(at("/healthz"), Some(("/healthz", Probe::Liveness)));
}

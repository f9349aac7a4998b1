use crate::{
    ANYWHERE, LONG,
    rows::{Process, Row, rows},
    serve,
};
use tower_readiness::{
    Readiness, Subsystem,
    client::{Address, CheckError, HealthCheck},
    probe::{Detail, Probe, Probes},
    server::AdminListener,
};

#[test]
fn every_question_is_answered_as_the_truth_table_says() {
    for (name, process, expected) in rows() {
        let (_server, check) = serve(&process);
        let asked = |check: &HealthCheck| check.run().unwrap().is_ok();
        let all = |check: &HealthCheck| Row {
            default: asked(check),
            ready: asked(&check.clone().ready()),
            live: asked(&check.clone().live()),
            startup: asked(&check.clone().startup()),
            search: asked(&check.clone().scope("search").unwrap()),
        };
        assert_eq!(all(&check), expected, "{name}");
        assert_eq!(all(&check.clone().verbose()), expected, "{name}");
        assert_eq!(all(&check.clone().json()), expected, "{name}");
    }
}

#[test]
fn one_line_says_who_and_why() {
    let process = Process::starting();
    let (_server, check) = serve(&process);
    let line = |check: &HealthCheck| check.run().unwrap().line().to_owned();
    process.storage.starting("opening /var/lib/x");
    process.engine.ready();
    assert_eq!(
        line(&check),
        "not started: storage starting (opening /var/lib/x)"
    );
    process.storage.ready();
    process.database.ready();
    process.cache.failing("connection refused");
    assert_eq!(line(&check), "started, live");
    assert_eq!(
        line(&check.clone().ready()),
        "ready (degraded): cache failing (connection refused)"
    );
    assert_eq!(
        line(&check.clone().scope("search").unwrap()),
        "not ready: cache failing (connection refused)"
    );
    process.engine.dead("stuck");
    assert_eq!(line(&check), "not live: engine dead (stuck)");
}

#[test]
fn details_are_told_if_they_are_asked_for() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    let report = check.run().unwrap();
    assert_eq!((report.details(), report.json()), ("", None));

    let report = check.clone().verbose().run().unwrap();
    assert_eq!(report.line(), "started, live");
    assert!(report.details().starts_with("[+]storage ready (required)"));
    assert_eq!(report.details().lines().count(), 5);

    let report = check.ready().json().run().unwrap();
    let json = report.json().unwrap();
    assert!(json.starts_with(r#"{"probe":"readiness","ok":true"#) && json.ends_with('}'));
}

#[test]
fn what_is_excluded_does_not_count() {
    let process = Process::ready();
    process.storage.failing("x");
    let (_server, check) = serve(&process);
    for check in [check.clone(), check.clone().json(), check.verbose()] {
        let check = check.ready();
        assert!(!check.run().unwrap().is_ok());
        let check = check.exclude("cache").unwrap();
        assert!(!check.run().unwrap().is_ok());
        assert!(check.exclude("storage").unwrap().run().unwrap().is_ok());
    }
}

#[test]
fn a_list_that_is_too_long_to_be_read_whole_tells_the_verdict() {
    let names: Vec<_> = (0..1_200).map(|number| format!("part-{number}")).collect();
    let builder = names.iter().fold(Readiness::builder(), |builder, name| {
        builder.subsystem(Subsystem::new(name).optional())
    });
    let readiness = builder
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    let parts: Vec<_> = names
        .iter()
        .map(|name| readiness.reporter(name).unwrap())
        .collect();
    for part in &parts {
        part.failing("x".repeat(1024));
    }
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    let verbose = check.ready().verbose();
    let asked = |check: &HealthCheck| {
        let report = check.run().unwrap();
        assert!(report.details().lines().count() < names.len());
        (report.is_ok(), report.line().to_owned())
    };
    assert_eq!(asked(&verbose), (false, "not ready".into()));
    let excluded = verbose.clone().exclude("storage").unwrap();
    assert_eq!(asked(&excluded), (true, "ready".into()));
    storage.ready();
    assert_eq!(asked(&verbose), (true, "ready".into()));

    // What is not known is told although the end of the list is not read.
    let line = HealthCheck::new(server.local_addr().clone())
        .timeout(LONG)
        .ready();
    for check in [verbose, line.clone().json(), line] {
        let known = check.exclude("part-1199").unwrap();
        assert!(known.run().unwrap().is_ok());
        let error = known.exclude("TYPO").unwrap().run().unwrap_err();
        assert!(
            matches!(&error, CheckError::UnknownExclude { names, .. } if names == &["TYPO"]),
            "{error:?}"
        );
    }
}

#[test]
fn names_that_nobody_has_are_errors_that_say_which() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    for check in [check.clone(), check.clone().json(), check.verbose()] {
        let excluded = check.clone().exclude("cache").unwrap();
        let error = excluded
            .exclude("kache")
            .unwrap()
            .exclude("storrage")
            .unwrap()
            .run()
            .unwrap_err();
        let CheckError::UnknownExclude { names, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(names, &["kache", "storrage"]);
        assert!(error.to_string().ends_with("kache, storrage"), "{error}");

        let error = check.clone().scope("serch").unwrap().run().unwrap_err();
        assert!(
            matches!(&error, CheckError::UnknownScope { name, .. } if name == "serch"),
            "{error:?}"
        );
        let one = check.scope("storage").unwrap().exclude("cache").unwrap();
        let error = one.run().unwrap_err();
        assert!(
            matches!(&error, CheckError::Refused { answer, .. } if answer.contains("exclude")),
            "{error:?}"
        );
    }
}

#[test]
fn an_applications_port_gives_the_verdict_and_says_that_it_excludes_nothing() {
    let process = Process::ready();
    process.storage.failing("secret");
    let probes = Probes::new(&process.readiness).detail(Detail::None);
    let server = AdminListener::new(probes)
        .serve_on_thread(ANYWHERE)
        .unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    assert_eq!(check.run().unwrap().line(), "started, live");
    let ready = check.clone().ready();
    assert_eq!(ready.run().unwrap().line(), "not ready");
    assert_eq!(ready.clone().verbose().run().unwrap().details(), "");
    assert!(!ready.clone().json().run().unwrap().is_ok());
    for check in [ready.clone(), ready.clone().json(), ready.verbose()] {
        let error = check.exclude("storage").unwrap().run().unwrap_err();
        assert!(matches!(error, CheckError::NoDetails { .. }), "{error:?}");
    }
    let error = check.scope("search").unwrap().run().unwrap_err();
    assert!(
        matches!(error, CheckError::UnknownScope { .. }),
        "{error:?}"
    );
}

#[test]
fn a_probe_that_answers_404_while_draining_is_red_and_one_that_was_moved_is_an_error() {
    let process = Process::ready();
    process.readiness.drain();
    let probes = Probes::new(&process.readiness)
        .not_found_while_draining()
        .without(Probe::Startup);
    let server = AdminListener::new(probes)
        .serve_on_thread(ANYWHERE)
        .unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    for ready in [check.clone().ready(), check.clone().ready().json()] {
        assert!(!ready.run().unwrap().is_ok());
    }
    let error = check.startup().run().unwrap_err();
    assert!(
        matches!(&error, CheckError::NotAProbe { path, status: 404, .. } if path == "/startupz"),
        "{error:?}"
    );
}

#[test]
fn a_port_alone_is_asked_on_the_loopback_interface_of_either_version_of_ip() {
    let process = Process::ready();
    let v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let addresses = [ANYWHERE, "[::1]:0", ":0"];
    for address in addresses
        .iter()
        .filter(|address| v6 || **address != "[::1]:0")
    {
        let server = process.readiness.serve_on_thread(*address).unwrap();
        let port = server.local_addr().socket_addr().unwrap().port();
        let check = HealthCheck::new(Address::Port(port)).timeout(LONG);
        let report = check.ready().verbose().run().unwrap();
        assert!(report.is_ok());
        // The host that is named is this machine, so a loopback listener tells.
        assert!(report.details().contains("storage"), "{address}");
    }
}

#[test]
fn an_address_can_be_asked_for_and_left_out() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("[::1]:8080"))
        .scope("upstream:[::1]", ["[::1]:8080"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let upstream = readiness.reporter("[::1]:8080").unwrap();
    upstream.ready();
    upstream.failing("refused");
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    let shapes: [fn(HealthCheck) -> HealthCheck; 3] =
        [|check| check, HealthCheck::verbose, HealthCheck::json];
    for shape in shapes {
        for name in ["[::1]:8080", "upstream:[::1]"] {
            let asked = shape(check.clone().scope(name).unwrap());
            assert!(!asked.run().unwrap().is_ok(), "{name}");
        }
        let excluded = check.clone().ready().exclude("[::1]:8080").unwrap();
        assert!(shape(excluded).run().unwrap().is_ok());

        let unknown = check.clone().ready().exclude("[::2]:1").unwrap();
        let error = shape(unknown.exclude("10.0.0.1:2").unwrap())
            .run()
            .unwrap_err();
        let CheckError::UnknownExclude { names, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(names, ["[::2]:1", "10.0.0.1:2"]);
    }
}

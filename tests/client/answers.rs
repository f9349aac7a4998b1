use crate::{
    ANYWHERE, LONG,
    rows::{Process, Row, rows},
    serve,
};
use std::{io::Write, net::TcpStream};
use tower_readiness::{
    Builder, Readiness, Subsystem,
    client::{Address, CheckError, HealthCheck},
    probe::{Detail, Probe, Probes},
    server::AdminListener,
};

#[test]
fn each_check_answers_as_the_truth_table_says() {
    for (name, process, expected) in rows() {
        let (_server, check) = serve(&process);
        let is_ok = |check: &HealthCheck| check.run().unwrap().is_ok();
        let all = |check: &HealthCheck| Row {
            default: is_ok(check),
            ready: is_ok(&check.clone().ready()),
            live: is_ok(&check.clone().live()),
            startup: is_ok(&check.clone().startup()),
            search: is_ok(&check.clone().scope("search")),
        };
        assert_eq!(all(&check), expected, "{name}");
        assert_eq!(all(&check.clone().verbose()), expected, "{name}");
        assert_eq!(all(&check.clone().json()), expected, "{name}");
    }
}

#[test]
fn the_line_names_subsystems_and_reasons() {
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
        line(&check.clone().scope("search")),
        "not ready: cache failing (connection refused)"
    );
    process.engine.dead("stuck");
    assert_eq!(line(&check), "not live: engine dead (stuck)");
}

#[test]
fn details_are_in_the_report_if_the_check_requests_them() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    let report = check.run().unwrap();
    assert_eq!((report.details(), report.json()), ("", None));

    let report = check.clone().verbose().run().unwrap();
    assert_eq!(report.line(), "started, live");
    assert!(report.details().starts_with("[+]storage ready (required)"));
    assert_eq!(report.details().lines().count(), 6);

    let report = check.ready().json().run().unwrap();
    let json = report.json().unwrap();
    assert!(json.starts_with(r#"{"probe":"readiness","ok":true"#) && json.ends_with('}'));
}

#[test]
fn an_excluded_subsystem_does_not_count() {
    let process = Process::ready();
    process.storage.failing("x");
    let (_server, check) = serve(&process);
    for check in [check.clone(), check.clone().json(), check.verbose()] {
        let check = check.ready();
        assert!(!check.run().unwrap().is_ok());
        let check = check.exclude("cache");
        assert!(!check.run().unwrap().is_ok());
        assert!(check.exclude("storage").run().unwrap().is_ok());
    }
}

#[test]
fn a_list_that_is_longer_than_the_limit_still_gives_the_verdict() {
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
    let verdict = |check: &HealthCheck| {
        let report = check.run().unwrap();
        assert!(report.details().lines().count() < names.len());
        (report.is_ok(), report.line().to_owned())
    };
    assert_eq!(verdict(&verbose), (false, "not ready".into()));
    let excluded = verbose.clone().exclude("storage");
    assert_eq!(verdict(&excluded), (true, "ready".into()));
    storage.ready();
    assert_eq!(verdict(&verbose), (true, "ready".into()));

    // Unknown names precede the list, so they are known although its end is not read.
    let line = HealthCheck::new(server.local_addr().clone())
        .timeout(LONG)
        .ready();
    for check in [verbose, line.clone().json(), line] {
        let known = check.exclude("part-1199");
        assert!(known.run().unwrap().is_ok());
        let error = known.exclude("TYPO").run().unwrap_err();
        assert!(
            matches!(&error, CheckError::UnknownExclude { names, .. } if names == &["TYPO"]),
            "{error:?}"
        );
    }
}

#[test]
fn unknown_names_are_errors_that_list_them() {
    let process = Process::ready();
    let (_server, check) = serve(&process);
    for check in [check.clone(), check.clone().json(), check.verbose()] {
        let excluded = check.clone().exclude("cache");
        let error = excluded
            .exclude("kache")
            .exclude("storrage")
            .run()
            .unwrap_err();
        let CheckError::UnknownExclude { names, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(names, &["kache", "storrage"]);
        assert!(error.to_string().ends_with("kache, storrage"), "{error}");

        let error = check.clone().scope("serch").run().unwrap_err();
        assert!(
            matches!(&error, CheckError::UnknownScope { name, .. } if name == "serch"),
            "{error:?}"
        );
        let one = check.scope("storage").exclude("cache");
        let error = one.run().unwrap_err();
        assert!(
            matches!(&error, CheckError::Refused { answer, .. } if answer.contains("exclude")),
            "{error:?}"
        );
    }
}

#[test]
fn an_applications_port_gives_the_verdict_and_excludes_no_subsystem() {
    let process = Process::ready();
    process.storage.failing("secret");
    let probes = Probes::builder(&process.readiness)
        .detail(Detail::None)
        .build()
        .unwrap();
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
        let error = check.exclude("storage").run().unwrap_err();
        assert!(matches!(error, CheckError::NoDetails { .. }), "{error:?}");
    }
    let error = check.scope("search").run().unwrap_err();
    assert!(
        matches!(error, CheckError::UnknownScope { .. }),
        "{error:?}"
    );
}

#[test]
fn a_404_is_red_while_draining_and_an_error_where_the_probe_was_moved() {
    let process = Process::ready();
    process.readiness.drain();
    let probes = Probes::builder(&process.readiness)
        .not_found_while_draining()
        .without(Probe::Startup)
        .build()
        .unwrap();
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
fn a_port_alone_is_connected_to_on_ipv4_and_ipv6_loopback() {
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
        // The request names this machine as its host, so a loopback listener gives
        // details.
        assert!(report.details().contains("storage"), "{address}");
    }
}

#[test]
fn a_subsystem_named_like_an_address_can_be_checked_and_excluded() {
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
            let check = shape(check.clone().scope(name));
            assert!(!check.run().unwrap().is_ok(), "{name}");
        }
        let excluded = check.clone().ready().exclude("[::1]:8080");
        assert!(shape(excluded).run().unwrap().is_ok());

        let unknown = check.clone().ready().exclude("[::2]:1");
        let error = shape(unknown.exclude("10.0.0.1:2")).run().unwrap_err();
        let CheckError::UnknownExclude { names, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(names, ["[::2]:1", "10.0.0.1:2"]);
    }
}

#[test]
fn subsystems_can_be_excluded_while_other_clients_read_no_answers() {
    let names: Vec<_> = (0..3_000).map(|index| format!("part-{index}")).collect();
    let subsystems = names.iter().map(Subsystem::new);
    let builder = subsystems.fold(Readiness::builder(), Builder::subsystem);
    let readiness = builder.build().unwrap();
    let reporters = names.iter().map(|name| readiness.reporter(name).unwrap());
    let reporters: Vec<_> = reporters.collect();
    for reporter in &reporters {
        reporter.failing("x".repeat(1_000));
    }
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let check = HealthCheck::new(server.local_addr().clone()).timeout(LONG);
    let check = check.live().exclude("part-1").verbose();
    let address = server.local_addr().socket_addr().unwrap();
    let mut crowd = Vec::new();
    // The list is shorter once the unread answers take all bytes that they may take.
    let report = loop {
        let report = check.run().unwrap();
        if report.details().lines().count() == 1 {
            break report;
        }
        assert!(crowd.len() < 60, "their answers are too short");
        let mut stream = TcpStream::connect(address).unwrap();
        let target = "/statusz?exclude=part-0";
        write!(stream, "GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        crowd.push(stream);
    };
    assert!(report.is_ok());
    assert_eq!(report.line(), "live");
    assert!(report.details().starts_with("[+]part-1 "), "{report:?}");
    let error = check.exclude("part-x").run().unwrap_err();
    assert!(
        matches!(&error, CheckError::UnknownExclude { names, .. } if names == &["part-x"]),
        "{error}"
    );
}

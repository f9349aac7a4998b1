use super::{
    http::Answer,
    report::{Report, clean},
};

/// What a probe is called: in its path, in JSON, and when it is green.
pub(super) struct Probe {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) green: &'static str,
}

/// How the server begins the line of what it was to leave out and does not
/// know.
const UNKNOWN: &str = "no subsystem to exclude: ";

/// How the server begins the line on a subsystem or a scope, up or not.
const SIGNS: [&str; 2] = ["[+]", "[-]"];

/// How the server begins the line on failures while ready, after all of those.
const DRIFT: &str = "drift: ";

/// What an answer says about what was to be left out.
pub(super) enum Excluded {
    /// What is not known.
    AllBut(Vec<String>),
    Nothing,
}

/// What the probe says as text, or `None` if it is not the probe that does.
pub(super) fn in_text(probe: &Probe, answer: &Answer) -> Option<(Report, Excluded)> {
    let is_ok = answer.status == 200;
    let red = format!("not {}", probe.green);
    let says = |line: &str, word: &str| {
        let rest = line.strip_prefix(word);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(": ") || rest.starts_with(" (degraded)")
        })
    };
    let (mut details, mut unknown, mut lists) = (String::new(), Vec::new(), false);
    let mut summary = None;
    for line in whole_lines(answer) {
        if let Some(name) = line.strip_prefix(UNKNOWN) {
            unknown.push(clean(name));
        } else if SIGNS.iter().any(|sign| line.starts_with(sign)) {
            lists = true;
            details = details + &clean(line) + "\n";
        } else if !answer.is_cut || !line.starts_with(DRIFT) {
            summary = Some(line);
        }
    }
    let line = match (answer.status, summary) {
        // The verdict stands last, out of reach if all of them are too many.
        // All that can be read then has to be what stands before it.
        (200, None) if answer.is_cut && lists => probe.green.to_owned(),
        (404 | 503, None) if answer.is_cut && lists => red,
        _ if answer.is_cut => return None,
        (200, Some(line)) if says(line, probe.green) => clean(line),
        // Draining, a probe may be told to answer 404.
        (404 | 503, Some(line)) if says(line, &red) => clean(line),
        _ => return None,
    };
    let excluded = if lists || !unknown.is_empty() {
        Excluded::AllBut(unknown)
    } else {
        Excluded::Nothing
    };
    Some((Report::text(is_ok, line, details), excluded))
}

/// The lines of an answer, but for the one that its end was cut from.
fn whole_lines(answer: &Answer) -> impl Iterator<Item = &str> {
    let end = if answer.is_cut {
        answer.body.rfind('\n').map_or(0, |last| last + 1)
    } else {
        answer.body.len()
    };
    answer.body[..end].lines()
}

/// The same as JSON. It is not parsed, for nothing but the server's own
/// rendering is expected.
pub(super) fn in_json(probe: &Probe, answer: &Answer) -> Option<(Report, Excluded)> {
    let is_ok = match answer.status {
        200 => true,
        404 | 503 => false,
        _ => return None,
    };
    let beginning = format!("{{\"probe\":\"{}\",\"ok\":{is_ok},", probe.name);
    if !answer.body.starts_with(&beginning) {
        return None;
    }
    // A quotation mark within a string would be escaped.
    let excluded = if let Some((_, names)) = answer.body.split_once(",\"unknown\":[\"") {
        // A name may hold `]`, but no quotation mark.
        let names = names.split("\"]").next().unwrap_or_default();
        Excluded::AllBut(names.split('"').step_by(2).map(clean).collect())
    } else if answer.body.contains(",\"subsystems\":[") {
        Excluded::AllBut(Vec::new())
    } else {
        Excluded::Nothing
    };
    let line = if is_ok {
        probe.green.to_owned()
    } else {
        format!("not {}", probe.green)
    };
    let json = clean(answer.body.trim_end());
    Some((Report::json_of(is_ok, line, json, answer.is_cut), excluded))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READINESS: Probe = Probe {
        path: "/readyz",
        name: "readiness",
        green: "ready",
    };

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            location: String::new(),
            body: body.to_owned(),
            is_cut: false,
        }
    }

    /// What is read of one that goes on.
    fn cut(status: u16, body: &str) -> Option<bool> {
        let mut answer = answer(status, body);
        answer.is_cut = true;
        let (report, _) = in_text(&READINESS, &answer)?;
        Some(report.is_ok())
    }

    fn text(status: u16, body: &str) -> Option<(bool, String)> {
        let (report, _) = in_text(&READINESS, &answer(status, body))?;
        Some((report.is_ok(), report.line().to_owned()))
    }

    #[test]
    fn status_and_words_have_to_say_the_same() {
        for (status, body, is_ok) in [
            (200, "ready\n", true),
            (200, "ready (degraded): cache failing\n", true),
            (503, "not ready\n", false),
            (503, "not ready: storage failing\n", false),
            (404, "not ready: draining\n", false),
            (200, "[+]a ready (required)\nready\n", true),
        ] {
            let line = body.trim_end().rsplit('\n').next().unwrap().to_owned();
            assert_eq!(text(status, body), Some((is_ok, line)), "{body}");
        }
        for (status, body) in [
            (200, "not ready\n"),
            (503, "ready\n"),
            (200, "live\n"),
            (200, "readyish\n"),
            (200, "ready and waiting\n"),
            (200, "OK\n"),
            (200, ""),
            (204, "ready\n"),
            (404, "not found\n"),
            (500, "not ready\n"),
            (200, "<html>\n<p>ready\n</html>"),
            (200, "ready\n[\n"),
        ] {
            assert_eq!(text(status, body), None, "{status} {body}");
        }
    }

    #[test]
    fn of_one_that_is_cut_the_lines_before_the_verdict_have_to_be_the_probes_own() {
        let listed = "[+]a ready (required)\n[-]b failing (optional): x\n";
        let drifted = format!("{listed}drift: 1 of 2 failed while ready, in 1m\n");
        for before in [listed, &drifted, &format!("{drifted}{UNKNOWN}c\n")] {
            // Somewhere within the next line.
            for rest in ["", "[", "[+]", "dr", "no subs", "rea", "not ready: b", "é"] {
                let body = before.to_owned() + rest;
                assert_eq!(cut(200, &body), Some(true), "{body}");
                assert_eq!(cut(503, &body), Some(false), "{body}");
                assert_eq!(cut(404, &body), Some(false), "{body}");
                for status in [204, 206, 401, 500] {
                    assert_eq!(cut(status, &body), None, "{status} {body}");
                }
            }
        }
        for body in [
            "",
            "[+]a",
            "[\n{\"a\":1},\n{\"a\":1},\n",
            "[{\"a\":1},\n",
            "[info] x\n",
            "<html>\n[+]a ready (required)\n",
            "[+]a ready (required)\n<html>\n",
            "[+]a ready (required)\n\n",
            // No answer goes on after its verdict.
            "[+]a ready (required)\nready\n",
            "ready\n[+]a ready (required)\n",
            "drift: 1 of 2 failed while ready, in 1m\n",
            "no subsystem to exclude: a\n",
        ] {
            assert_eq!(cut(200, body), None, "{body}");
            assert_eq!(cut(503, body), None, "{body}");
        }
    }

    #[test]
    fn json_is_the_probes_own() {
        let says = |status, body| in_json(&READINESS, &answer(status, body)).is_some();
        assert!(says(
            200,
            r#"{"probe":"readiness","ok":true,"status":"ready"}"#
        ));
        assert!(says(
            503,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
        assert!(!says(
            200,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
        assert!(!says(
            200,
            r#"{"probe":"liveness","ok":true,"status":"live"}"#
        ));
        assert!(!says(200, r#"{"status":"UP"}"#));
        assert!(!says(
            500,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
    }

    #[test]
    fn what_could_not_be_excluded_is_told_from_what_a_reason_says() {
        let unknown = |body: &str| {
            let body = format!(r#"{{"probe":"readiness","ok":true,"subsystems":[{body}}}"#);
            match in_json(&READINESS, &answer(200, &body)).unwrap().1 {
                Excluded::AllBut(names) => names,
                Excluded::Nothing => panic!("it has details"),
            }
        };
        let nothing: [&str; 0] = [];
        assert_eq!(unknown(r#"],"unknown":["a","b"]"#), ["a", "b"]);
        assert_eq!(unknown(r#"],"excluded":["c"],"unknown":["a"]"#), ["a"]);
        let addresses = ["[::1]:1", "10.0.0.1:2"];
        assert_eq!(
            unknown(r#"],"unknown":["[::1]:1","10.0.0.1:2"]"#),
            addresses
        );
        assert_eq!(unknown(r#"{"reason":",\"unknown\":[\"x\"]"}]"#), nothing);
        assert_eq!(
            unknown(r#"{"attributes":{"a":"b","unknown":"[x"}}]"#),
            nothing
        );
    }
}

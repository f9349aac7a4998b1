use super::{
    http::Response,
    report::{Report, clean},
};

/// The names of a probe: its path, its name in JSON, and its word for green.
pub(super) struct Probe {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) green: &'static str,
}

/// The beginning of the server's line on an excluded name that it does not know.
const UNKNOWN: &str = "no subsystem to exclude: ";

/// The beginning of the server's line on a subsystem or scope, green or red.
const SIGNS: [&str; 2] = ["[+]", "[-]"];

/// The beginning of the server's line on failures while ready, which follows the
/// list of subsystems.
const DRIFT: &str = "drift: ";

/// Which of the subsystems to exclude the probe has excluded.
pub(super) enum Excluded {
    /// All but these unknown names.
    AllBut(Vec<String>),
    /// None: the probe gives no details, and ignores exclusions.
    Nothing,
}

/// Parses a text response, or returns `None` if it is not from the probe.
pub(super) fn parse_text(probe: &Probe, response: &Response) -> Option<(Report, Excluded)> {
    let is_ok = response.status == 200;
    let red = format!("not {}", probe.green);
    let is_verdict = |line: &str, word: &str| {
        let rest = line.strip_prefix(word);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(": ") || rest.starts_with(" (degraded)")
        })
    };
    let (mut details, mut unknown, mut lists) = (String::new(), Vec::new(), false);
    let mut summary = None;
    for line in whole_lines(response) {
        if let Some(name) = line.strip_prefix(UNKNOWN) {
            unknown.push(clean(name));
        } else if SIGNS.iter().any(|sign| line.starts_with(sign)) {
            lists = true;
            details = details + &clean(line) + "\n";
        } else if !response.is_cut || !line.starts_with(DRIFT) {
            summary = Some(line);
        }
    }
    let line = match (response.status, summary) {
        // The verdict is the last line, and is missing if the list is cut. Then
        // the response counts if every line read belongs before a verdict.
        (200, None) if response.is_cut && lists => probe.green.to_owned(),
        (404 | 503, None) if response.is_cut && lists => red,
        _ if response.is_cut => return None,
        (200, Some(line)) if is_verdict(line, probe.green) => clean(line),
        // A probe can be configured to answer 404 while the process drains.
        (404 | 503, Some(line)) if is_verdict(line, &red) => clean(line),
        _ => return None,
    };
    let excluded = if lists || !unknown.is_empty() {
        Excluded::AllBut(unknown)
    } else {
        Excluded::Nothing
    };
    Some((Report::from_text(is_ok, line, details), excluded))
}

/// Returns the lines of a response, except for a last line that was cut.
fn whole_lines(response: &Response) -> impl Iterator<Item = &str> {
    let end = if response.is_cut {
        response.body.rfind('\n').map_or(0, |last| last + 1)
    } else {
        response.body.len()
    };
    response.body[..end].lines()
}

/// Reads a JSON response, or returns `None` if it is not from the probe. It is
/// compared as text with the server's own rendering, and not parsed.
pub(super) fn parse_json(probe: &Probe, response: &Response) -> Option<(Report, Excluded)> {
    let is_ok = match response.status {
        200 => true,
        404 | 503 => false,
        _ => return None,
    };
    let beginning = format!("{{\"probe\":\"{}\",\"ok\":{is_ok},", probe.name);
    if !response.body.starts_with(&beginning) {
        return None;
    }
    // A quotation mark within a string is escaped, so this matches only the key.
    let excluded = if let Some((_, names)) = response.body.split_once(",\"unknown\":[\"") {
        // A name can contain `]`, but not a quotation mark.
        let names = names.split("\"]").next().unwrap_or_default();
        Excluded::AllBut(names.split('"').step_by(2).map(clean).collect())
    } else if response.body.contains(",\"subsystems\":[") {
        Excluded::AllBut(Vec::new())
    } else {
        Excluded::Nothing
    };
    let line = if is_ok {
        probe.green.to_owned()
    } else {
        format!("not {}", probe.green)
    };
    let json = clean(response.body.trim_end());
    Some((
        Report::from_json(is_ok, line, json, response.is_cut),
        excluded,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READINESS: Probe = Probe {
        path: "/readyz",
        name: "readiness",
        green: "ready",
    };

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            location: String::new(),
            body: body.to_owned(),
            is_cut: false,
        }
    }

    /// Parses the response as if its end had not been read.
    fn cut(status: u16, body: &str) -> Option<bool> {
        let mut response = response(status, body);
        response.is_cut = true;
        let (report, _) = parse_text(&READINESS, &response)?;
        Some(report.is_ok())
    }

    fn text(status: u16, body: &str) -> Option<(bool, String)> {
        let (report, _) = parse_text(&READINESS, &response(status, body))?;
        Some((report.is_ok(), report.line().to_owned()))
    }

    #[test]
    fn status_and_text_have_to_agree() {
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
    fn a_cut_list_counts_only_if_every_line_is_from_a_probe() {
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
            // The verdict is the last line of a probe.
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
    fn json_has_to_come_from_the_probe() {
        let is_accepted = |status, body| parse_json(&READINESS, &response(status, body)).is_some();
        assert!(is_accepted(
            200,
            r#"{"probe":"readiness","ok":true,"status":"ready"}"#
        ));
        assert!(is_accepted(
            503,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
        assert!(!is_accepted(
            200,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
        assert!(!is_accepted(
            200,
            r#"{"probe":"liveness","ok":true,"status":"live"}"#
        ));
        assert!(!is_accepted(200, r#"{"status":"UP"}"#));
        assert!(!is_accepted(
            500,
            r#"{"probe":"readiness","ok":false,"status":"not ready"}"#
        ));
    }

    #[test]
    fn unknown_names_are_read_from_their_key_and_not_from_reasons() {
        let unknown = |body: &str| {
            let body = format!(r#"{{"probe":"readiness","ok":true,"subsystems":[{body}}}"#);
            match parse_json(&READINESS, &response(200, &body)).unwrap().1 {
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

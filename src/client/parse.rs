use super::{
    http::HttpResponse,
    report::{Report, clean},
};
use crate::wire::{JsonAnswer, Probe, text};
use std::borrow::Cow;

/// The names of the subsystems to exclude that the probe does not know, or `None`
/// if the probe gives no details, and so ignores exclusions.
type Unknown = Option<Vec<String>>;

/// Parses a text response, or returns `None` if it is not from the probe.
pub(super) fn parse_text(probe: Probe, response: &HttpResponse) -> Option<(Report, Unknown)> {
    let is_ok = is_ok(response)?;
    let word = probe.word(is_ok);
    let is_verdict = |line: &str| {
        let rest = line.strip_prefix(word);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(": ") || rest.starts_with(" (degraded)")
        })
    };
    let (mut details, mut unknown) = (String::new(), Vec::new());
    let mut summary = None;
    for line in whole_lines(response) {
        if let Some(name) = line.strip_prefix(text::UNKNOWN) {
            unknown.push(clean(name));
        } else if line.starts_with(text::UP) || line.starts_with(text::DOWN) {
            details = details + &clean(line) + "\n";
        } else if !response.is_cut || !follows_the_list(line) {
            summary = Some(line);
        }
    }
    let line = match summary {
        // The verdict is the last line, and is missing if the list is cut. Then
        // the response counts if every line read belongs before a verdict.
        None if response.is_cut && !details.is_empty() => word.to_owned(),
        Some(line) if !response.is_cut && is_verdict(line) => clean(line),
        _ => return None,
    };
    let gives_details = !details.is_empty() || !unknown.is_empty();
    let report = Report {
        is_ok,
        line,
        details,
        json: None,
    };
    Some((report, gives_details.then_some(unknown)))
}

/// Whether a line comes between the list of subsystems and the verdict.
fn follows_the_list(line: &str) -> bool {
    let begins = [text::DRIFT, text::PLAN, text::TRANSITION];
    begins.iter().any(|begin| line.starts_with(begin))
}

/// Returns whether the status is green, or `None` if no probe answers with it.
fn is_ok(response: &HttpResponse) -> Option<bool> {
    match response.status {
        200 => Some(true),
        // A probe can be configured to answer 404 while the process drains.
        404 | 503 => Some(false),
        _ => None,
    }
}

/// Returns the lines of a response, except for a last line that was cut.
fn whole_lines(response: &HttpResponse) -> impl Iterator<Item = &str> {
    let end = if response.is_cut {
        response.body.rfind('\n').map_or(0, |last| last + 1)
    } else {
        response.body.len()
    };
    response.body[..end].lines()
}

/// Parses a JSON response, or returns `None` if it is not from the probe.
pub(super) fn parse_json(probe: Probe, response: &HttpResponse) -> Option<(Report, Unknown)> {
    let is_ok = is_ok(response)?;
    let mut json = Cow::from(&response.body);
    if response.is_cut {
        // The fields before the long list are whole. A quotation mark within a
        // string is escaped, so this matches only the key.
        let (whole, _) = json.split_once(",\"subsystems\":[")?;
        json = Cow::from(whole.to_owned() + "}");
    }
    let answer: JsonAnswer<'_> = serde_json::from_str(&json).ok()?;
    if answer.probe != probe.as_str() || answer.ok != is_ok {
        return None;
    }
    let report = Report {
        is_ok,
        line: probe.word(is_ok).to_owned(),
        details: String::new(),
        json: (!response.is_cut).then(|| clean(json.trim_end())),
    };
    // Each answer with details has a version.
    let unknown = || answer.unknown.iter().map(|name| clean(name)).collect();
    Some((report, answer.version.map(|_| unknown())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> HttpResponse {
        HttpResponse {
            status,
            location: String::new(),
            body: body.to_owned(),
            is_cut: false,
            is_encoded: false,
        }
    }

    /// Parses the response as if its end had not been read.
    fn cut(status: u16, body: &str) -> Option<bool> {
        let mut response = response(status, body);
        response.is_cut = true;
        let (report, _) = parse_text(Probe::Readiness, &response)?;
        Some(report.is_ok())
    }

    fn text(status: u16, body: &str) -> Option<(bool, String)> {
        let (report, _) = parse_text(Probe::Readiness, &response(status, body))?;
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
        for before in [listed, &drifted, &format!("{drifted}{}c\n", text::UNKNOWN)] {
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
            "plan: serves 5 s after the signal to drain\n",
            "no subsystem to exclude: a\n",
        ] {
            assert_eq!(cut(200, body), None, "{body}");
            assert_eq!(cut(503, body), None, "{body}");
        }
    }

    #[test]
    fn json_has_to_come_from_the_probe() {
        let is_accepted =
            |status, body| parse_json(Probe::Readiness, &response(status, body)).is_some();
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

    const DETAILS: &str = r#"{"probe":"readiness","ok":true,"status":"ready","version":1"#;

    #[test]
    fn unknown_names_are_those_of_their_key() {
        let unknown = |rest: &str| {
            let body = format!("{DETAILS}{rest}}}");
            parse_json(Probe::Readiness, &response(200, &body))
                .unwrap()
                .1
        };
        let nothing = Some(Vec::new());
        assert_eq!(unknown(r#","subsystems":[]"#), nothing);
        assert_eq!(unknown(r#","unclear":",\"unknown\":[\"x\"]""#), nothing);
        let names = Some(vec!["[::1]:1".to_owned(), "a".to_owned()]);
        let excluded = r#","excluded":["c"],"unknown":["[::1]:1","a"],"subsystems":[]"#;
        assert_eq!(unknown(excluded), names);
        let terse = r#"{"probe":"readiness","ok":true,"status":"ready"}"#;
        let (_, unknown) = parse_json(Probe::Readiness, &response(200, terse)).unwrap();
        assert_eq!(unknown, None, "the probe gives no details");
    }

    #[test]
    fn cut_json_counts_if_the_fields_before_the_list_are_whole() {
        let parsed = |body: &str| {
            let mut response = response(200, body);
            response.is_cut = true;
            parse_json(Probe::Readiness, &response)
        };
        let unknown = r#","unknown":["a"]"#;
        for rest in ["", r#"{"name":"#, r#"{"name":"x"},"#] {
            let (report, unknown) =
                parsed(&format!(r#"{DETAILS}{unknown},"subsystems":[{rest}"#)).unwrap();
            assert!(report.is_ok());
            assert_eq!(report.json(), None);
            assert_eq!(unknown, Some(vec!["a".to_owned()]));
        }
        for body in [
            "",
            DETAILS,
            r#"{"ok":true,"subsystems":[{"#,
            r#"{"a":"x,"subsystems":[{"#,
        ] {
            assert!(parsed(body).is_none(), "{body}");
        }
    }
}

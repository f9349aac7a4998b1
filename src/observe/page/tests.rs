use super::{POLICY, document, render};
use crate::wire::JsonAnswer;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TIME: &str = "Fri, 26 Nov 2027 19:42:27 GMT";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_827_258_147)
}

fn rendered(json: &str) -> String {
    let answer: JsonAnswer<'_> = serde_json::from_str(json).unwrap();
    render(&answer, "/inner/events", now())
}

fn example() -> String {
    rendered(include_str!("../../wire/example.json"))
}

#[test]
fn the_policy_admits_this_script_and_this_style_alone() {
    for (directive, text) in [
        ("script-src", document::SCRIPT),
        ("style-src", document::STYLE),
    ] {
        let hash = BASE64_STANDARD.encode(Sha256::digest(text));
        let expected = format!("{directive} 'sha256-{hash}';");
        assert!(POLICY.contains(&expected), "write {expected} into POLICY");
    }
    assert!(POLICY.starts_with("default-src 'none'; "));
    assert!(!POLICY.contains("unsafe") && !POLICY.contains('*'));
}

#[test]
fn the_document_has_less_than_40_kilobytes_and_names_no_other_host() {
    let html = example();
    assert!(html.len() < 40_000, "{}", html.len());
    let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!without_namespace.contains("://"));
}

#[test]
fn the_script_writes_text_and_never_markup() {
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "on=",
    ] {
        assert!(!document::SCRIPT.contains(sink), "{sink}");
    }
}

#[test]
fn every_slot_of_the_template_is_filled() {
    let html = example();
    let markup = html
        .replace(document::SCRIPT, "")
        .replace(document::STYLE, "");
    assert!(!markup.contains("{{") && !markup.contains("}}"));
    for text in [
        "<title>not ready</title>",
        "<h1 id=\"verdict\">not ready</h1>",
        "<p id=\"why\">storage failing (connection refused)</p>",
        " data-phase=\"started\" data-condition=\"failing\" data-ready=\"false\" data-live=\"true\" \
         data-paused=\"false\">",
        "<td>connection refused<small>after 2h</small></td>",
        "<li><span class=\"s failing\">failing</span><span><b>storage</b><small>connection \
         refused</small></span><span>12s</span></li>",
        "<th scope=\"row\">storage</th><td>required</td><td>connection refused\
         <small>address=10.0.0.7:5432 ttl 30 s</small></td><td>12s</td>",
        "<td><span class=\"s failing\">failing</span></td><th scope=\"row\">search</th>\
         <td>storage</td><td>4 failing</td>",
        "<dt>In flight</dt><dd>2</dd>",
        "<dt>Refused</dt><dd>7 failing</dd>",
        "<dt>Drain delay</dt><dd>5 s</dd>",
        "<dt>Closing cap</dt><dd>15 s</dd>",
        "<small id=\"count\">1</small>",
        "<tr><td>09:00:00</td><td>process</td><td><span class=\"s ready\">ready</span></td>\
         <td><span class=\"s failing\">failing</span></td><td><small>after 2h</small></td></tr>\
         <tr><td>09:00:00</td><td>storage</td>",
        "<body data-events=\"/inner/events\" data-phase=",
    ] {
        assert!(markup.contains(text), "{text} is not in {markup}");
    }
    assert!(markup.contains(&format!("as of {TIME}")), "{markup}");
    assert!(markup.contains("<section id=\"drain\" aria-label=\"Drain\" hidden>"));
}

#[test]
fn a_drain_counts_down() {
    let drain = |phase: &str| {
        rendered(&format!(
            r#"{{"probe":"status","ok":true,"status":"not ready","summary":"not ready: {phase}",
            "phase":"{phase}","drain":{{"delay_ms":5000,"longest_delay_ms":5000,"cap_ms":9000,
            "left_ms":3100}}}}"#
        ))
    };
    for (phase, whole) in [("draining", 5000), ("closing", 9000)] {
        let html = drain(phase);
        let bar = format!("max=\"{whole}\" value=\"3100\">");
        assert!(html.contains(&format!("<p id=\"left\">{phase}: 4 s left</p>")));
        assert!(html.contains(&bar), "{html}");
        assert!(html.contains("<section id=\"drain\" aria-label=\"Drain\">"));
    }
}

#[test]
fn causes_come_first_then_states_from_dead_to_ready() {
    let subsystem = |name: &str, state: &str| {
        format!(
            r#"{{"name":"{name}","role":"required","vital":false,"pending":false,"state":"{state}"}}"#
        )
    };
    let subsystems = [
        subsystem("one", "ready"),
        subsystem("two", "degraded"),
        subsystem("three", "dead"),
        subsystem("four", "failing"),
        subsystem("five", "starting"),
        subsystem("six", "unheard of"),
    ];
    let html = rendered(&format!(
        r#"{{"probe":"status","ok":true,"status":"not ready","because_of":["four","two"],
        "subsystems":[{}]}}"#,
        subsystems.join(",")
    ));
    let rows = html.split("<tbody id=\"rows\">").nth(1).unwrap();
    let rows = rows.split("</tbody>").next().unwrap();
    let names = rows.split("<th scope=\"row\">").skip(1);
    let names: Vec<_> = names.map(|row| row.split('<').next().unwrap()).collect();
    assert_eq!(names, ["four", "two", "six", "three", "five", "one"]);
    assert!(rows.contains("<span class=\"s \">unheard of</span>"));
}

#[test]
fn a_group_has_a_link_to_its_members_in_each_state() {
    let group = |name: &str, members: &str| {
        format!(
            r#"{{"name":"{name}","role":"shared","vital":false,"pending":false,"state":"degraded",
            "reason":"4 of 7 ready","members":{members}}}"#
        )
    };
    let some = r#"{"total":7,"ready":4,"states":{"failing":3,"ready":4}}"#;
    let none = r#"{"total":0,"ready":0,"states":{}}"#;
    let html = rendered(&format!(
        r#"{{"probe":"status","ok":true,"status":"ready","subsystems":[{},{}]}}"#,
        group("upstream", some),
        group("empty", none)
    ));
    // The events are at `/inner/events`.
    let links = "<td>4 of 7 ready<small>members: \
         <a href=\"/inner/upstream?state=failing\">3 failing</a>, \
         <a href=\"/inner/upstream?state=ready\">4 ready</a></small></td>";
    assert!(html.contains(links), "{html}");
    assert!(html.contains("<small>members: none</small>"), "{html}");
}

#[test]
fn no_text_of_the_application_becomes_markup() {
    const ATTACK: &str = r#"\"><img src=x onerror=alert(1)>{{rows}}<script>'"#;
    let html = rendered(&format!(
        r#"{{"probe":"status","ok":true,"status":"{ATTACK}","summary":"{ATTACK}: {ATTACK}",
        "phase":"{ATTACK}","condition":"{ATTACK}","paused":true,"pause_reason":"{ATTACK}",
        "because_of":["{ATTACK}"],"verdicts":{{"startup":true,"liveness":true,"readiness":true}},
        "drain":{{"delay_ms":1,"longest_delay_ms":1,"cap_ms":1,"left_ms":1}},
        "subsystems":[{{"name":"{ATTACK}","role":"{ATTACK}","vital":true,"pending":true,
        "state":"{ATTACK}","reason":"{ATTACK}","attributes":{{"{ATTACK}":"{ATTACK}"}},
        "members":{{"total":1,"ready":0,"states":{{"{ATTACK}":1}}}},
        "claim":"{ATTACK}","damped":{{"state":"{ATTACK}","reason":"{ATTACK}","count":1,"needed":2}}}}],
        "scopes":[{{"name":"{ATTACK}","condition":"{ATTACK}","ready":false,
        "because_of":["{ATTACK}"],"refused":{{"{ATTACK}":1}}}}],
        "traffic":{{"in_flight":1,"late_arrivals":0,"refused":{{"{ATTACK}":1}},
        "dry_run_refused":{{"{ATTACK}":1}}}},"history":[{{"version":1,"kind":"process","refused":1,
        "name":"{ATTACK}","from":"{ATTACK}","to":"{ATTACK}","reason":"{ATTACK}"}}]}}"#
    ));
    let markup = html
        .replace(document::SCRIPT, "")
        .replace(document::STYLE, "");
    assert!(!markup.contains("<img"), "{markup}");
    assert_eq!(markup.matches("<script").count(), 1);
    // Each field is there, escaped. A slot in a text is no slot.
    let inert = "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;{{rows}}&lt;script&gt;&#39;";
    assert_eq!(markup.matches(inert).count(), 33, "{markup}");
}

#[test]
fn an_address_as_a_name_is_shown_as_it_is() {
    let row = |name| {
        format!(
            r#"{{"name":"{name}","role":"required","vital":false,"pending":false,"state":"failing"}}"#
        )
    };
    let (v6, v4) = (row("[::1]:80"), row("10.0.0.1:8080"));
    let html = rendered(&format!(
        r#"{{"probe":"status","ok":false,"status":"not ready","because_of":["[::1]:80"],
            "subsystems":[{v4},{v6}]}}"#
    ));
    assert!(html.contains("<b>[::1]:80</b>"), "{html}");
    let rows: Vec<_> = html.split("<th scope=\"row\">").skip(1).collect();
    // The cause comes first.
    assert!(rows[0].starts_with("[::1]:80</th>"), "{html}");
    assert!(rows[1].starts_with("10.0.0.1:8080</th>"), "{html}");
}

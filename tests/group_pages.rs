//! The answers about groups: their line in `/statusz`, and the pages of their members.

use http::{Request, StatusCode, header::ACCEPT};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::convert::Infallible;
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Group, MemberReporter, Readiness, ReadinessLayer,
    probe::{Detail, Probes},
};

fn upstream() -> (Readiness, Vec<MemberReporter>) {
    let builder = Readiness::builder()
        .allow_empty()
        .group(Group::new("upstream").degraded_below(0.9));
    let readiness = builder.build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let add = |number| group.add(format!("10.0.0.{number}:80")).unwrap();
    let members: Vec<_> = (0..60).map(add).collect();
    members[..57].iter().for_each(MemberReporter::ready);
    members[57..]
        .iter()
        .for_each(|member| member.failing("refused\nagain"));
    (readiness, members)
}

async fn ask(readiness: &Readiness, detail: Detail, request: http::request::Builder) -> Answer {
    let probes = Probes::builder(readiness).detail(detail).build().unwrap();
    let request = request.body(String::new()).unwrap();
    let response = probes.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

type Answer = (StatusCode, String);

async fn text(readiness: &Readiness, detail: Detail, path: &str) -> Answer {
    ask(readiness, detail, Request::get(path)).await
}

async fn json(readiness: &Readiness, detail: Detail, path: &str) -> Value {
    let request = Request::get(path).header(ACCEPT, "application/json");
    let (status, body) = ask(readiness, detail, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The clock of the test is paused, so that each age is zero.
async fn settled() -> (Readiness, Vec<MemberReporter>) {
    let group = upstream();
    tokio::time::advance(std::time::Duration::from_millis(50)).await;
    group
}

#[tokio::test(start_paused = true)]
async fn the_status_has_one_line_for_a_group() {
    let (readiness, _members) = settled().await;
    let line = |text: String| text.lines().next().unwrap().to_owned();
    let (_, full) = text(&readiness, Detail::Full, "/statusz").await;
    let end = "57 of 60 ready; 3 failing: 10.0.0.57:80, 10.0.0.58:80, 10.0.0.59:80";
    assert_eq!(
        line(full),
        format!("[+]upstream ready (shared) for 50ms: {end}")
    );
    let (_, names) = text(&readiness, Detail::Names, "/statusz").await;
    assert_eq!(line(names), "[+]upstream ready (shared): 57 of 60 ready");
    let status = json(&readiness, Detail::Names, "/statusz").await;
    assert_eq!(
        status["subsystems"][0]["members"],
        json!({ "total": 60, "ready": 57, "states": { "ready": 57, "failing": 3 } })
    );
    assert_eq!(status["subsystems"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_shows_the_members_in_a_state() {
    let (readiness, _members) = settled().await;
    let path = "/statusz/upstream?state=failing&limit=2";
    let (status, full) = text(&readiness, Detail::Full, path).await;
    assert_eq!(status, StatusCode::OK);
    let expected = "[-]10.0.0.57:80 failing for 50ms: refused again\n\
                    [-]10.0.0.58:80 failing for 50ms: refused again\n\
                    more: ?from=59\n\
                    upstream ready: 57 of 60 ready; 3 failing: 10.0.0.57:80, 10.0.0.58:80, \
                    10.0.0.59:80\n";
    assert_eq!(full, expected);
    let rest = "/statusz/upstream?state=failing&from=59";
    let (_, names) = text(&readiness, Detail::Names, rest).await;
    assert_eq!(
        names,
        "[-]10.0.0.59:80 failing\nupstream ready: 57 of 60 ready\n"
    );
}

#[tokio::test(start_paused = true)]
async fn json_has_the_counts_and_the_first_50_members() {
    let (readiness, _members) = settled().await;
    let first = json(&readiness, Detail::Full, "/statusz/upstream").await;
    assert_eq!(first["members"].as_array().unwrap().len(), 50);
    assert_eq!(first["members"][0]["name"], "10.0.0.0:80");
    assert_eq!(first["counts"]["ready"], 57);
    assert_eq!(first["next"], 50);
    let rest = json(&readiness, Detail::Full, "/statusz/upstream?from=50").await;
    assert_eq!(rest["members"].as_array().unwrap().len(), 10);
    assert_eq!(rest["members"][9]["reason"], "refused\nagain");
    assert!(rest["next"].is_null());
    let names = json(&readiness, Detail::Names, "/statusz/upstream?from=59").await;
    assert_eq!(
        names["members"],
        json!([{ "name": "10.0.0.59:80", "state": "failing" }])
    );
}

#[tokio::test(start_paused = true)]
async fn only_groups_have_a_page_and_only_where_names_are_shown() {
    let (readiness, _members) = settled().await;
    for (detail, path, expected) in [
        (Detail::None, "/statusz/upstream", 404),
        (Detail::Names, "/statusz/upstream", 200),
        (Detail::Names, "/statusz/upstream/", 200),
        (Detail::Names, "/statusz/other", 404),
        (Detail::Names, "/statusz/upstream?limit=0", 400),
        (Detail::Names, "/statusz/upstream?state=down", 400),
    ] {
        let (status, _) = text(&readiness, detail, path).await;
        assert_eq!(status, expected, "{detail:?} {path}");
    }
    let post = Request::post("/statusz/upstream");
    let (status, _) = ask(&readiness, Detail::Names, post).await;
    assert_eq!(status, 405);
    let head = Request::head("/statusz/upstream");
    let answer = ask(&readiness, Detail::Names, head).await;
    assert_eq!(answer, (StatusCode::OK, String::new()));

    // The application answers below the path of the status probe, as before.
    let inner = service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(http::Response::new("app".to_owned()))
    });
    let service = ReadinessLayer::new(&readiness).layer(inner);
    let request = Request::get("/statusz/other").body(String::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "app");
}

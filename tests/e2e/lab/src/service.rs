//! The demo service: the same handlers for all arms. A request that needs a subsystem
//! that is down is answered with 500.

use crate::{
    answer::{REPLICA, REQUEST_ID, Received, Run},
    subsystems::{Subsystem, Subsystems},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::map_response,
    response::Response,
    routing::{get, post},
};
use futures_util::stream;
use http_body_util::BodyExt;
use serde::Deserialize;
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

type Shared = State<&'static Subsystems>;
type Answer = Result<Body, (StatusCode, String)>;

/// How long a handler works between two lines of a stream.
const LINE_EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct Length {
    ms: u64,
}

pub(crate) fn router(subsystems: &'static Subsystems, replica: &str) -> Router {
    let replica = HeaderValue::from_str(replica).unwrap_or(HeaderValue::from_static("unnamed"));
    Router::new()
        .route("/plain", get(plain))
        .route("/slow", get(slow))
        .route("/upload", post(upload))
        .route("/stream", get(streamed))
        .route("/db", get(database))
        .route("/control/blip", post(blip))
        .route("/control/database/{state}", post(control_database))
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().insert(REPLICA, replica.clone());
            async { response }
        }))
        .with_state(subsystems)
}

async fn plain(State(subsystems): Shared, headers: HeaderMap) -> Answer {
    need(&subsystems.local())?;
    Ok(run(&headers).whole(None).into())
}

async fn slow(State(subsystems): Shared, length: Query<Length>, headers: HeaderMap) -> Answer {
    need(&subsystems.local())?;
    sleep(Duration::from_millis(length.ms)).await;
    Ok(run(&headers).whole(None).into())
}

async fn upload(State(subsystems): Shared, request: Request) -> Answer {
    need(&subsystems.local())?;
    let run = run(request.headers());
    let mut body = request.into_body();
    let mut received = Received::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        if let Some(chunk) = frame.data_ref() {
            received.add(chunk);
        }
    }
    Ok(run.whole(Some(&received)).into())
}

async fn streamed(State(subsystems): Shared, length: Query<Length>, headers: HeaderMap) -> Answer {
    need(&subsystems.local())?;
    let lines = length.ms / LINE_EVERY.as_millis() as u64;
    let stream = stream::unfold((run(&headers), 0), move |(mut run, line)| async move {
        if line > lines {
            return None;
        }
        let text = match line {
            0 => run.begin(),
            _ => {
                sleep(LINE_EVERY).await;
                run.data()
            }
        };
        let text = if line == lines {
            text + &run.end()
        } else {
            text
        };
        Some((Ok::<_, Infallible>(text), (run, line + 1)))
    });
    Ok(Body::from_stream(stream))
}

async fn database(State(subsystems): Shared, headers: HeaderMap) -> Answer {
    need(&subsystems.all())?;
    Ok(run(&headers).whole(None).into())
}

/// The local storage goes away for a while, as for a reconnect of its own.
async fn blip(State(subsystems): Shared, length: Query<Length>) -> Answer {
    subsystems.storage.set(false);
    tokio::spawn(async move {
        sleep(Duration::from_millis(length.ms)).await;
        subsystems.storage.set(true);
    });
    Ok(Body::empty())
}

async fn control_database(State(subsystems): Shared, Path(state): Path<String>) -> Answer {
    subsystems.database.set(state == "up");
    Ok(Body::empty())
}

fn need(subsystems: &[&Subsystem]) -> Result<(), (StatusCode, String)> {
    subsystems
        .iter()
        .find(|subsystem| !subsystem.is_up())
        .map_or(Ok(()), |subsystem| {
            let message = format!("{} is not there\n", subsystem.name);
            Err((StatusCode::INTERNAL_SERVER_ERROR, message))
        })
}

fn run(headers: &HeaderMap) -> Run {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    Run::new(id.unwrap_or("none").to_owned())
}

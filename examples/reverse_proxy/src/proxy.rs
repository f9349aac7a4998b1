//! Sends each request to an upstream, and tells from the response whether it answers.

use crate::upstreams::Upstreams;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri, header::CONNECTION, uri::Scheme},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{error::Error as _, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long an upstream may take until it has its response.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Proxy {
    upstreams: Arc<Upstreams>,
    client: Client<HttpConnector, Body>,
}

pub(crate) fn router(upstreams: Arc<Upstreams>) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    Router::new()
        .fallback(forward)
        .with_state(Proxy { upstreams, client })
}

async fn forward(State(proxy): State<Proxy>, mut request: Request) -> Response {
    let Some(upstream) = proxy.upstreams.pick() else {
        return bad_gateway("no upstream answers");
    };
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(upstream.authority.clone());
    let Ok(uri) = Uri::from_parts(uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    // It is of the connection with the client.
    request.headers_mut().remove(CONNECTION);

    match timeout(TIMEOUT, proxy.client.request(request)).await {
        Ok(Ok(mut response)) => {
            // An upstream that refuses is no better than one that does not answer.
            match response.status() {
                status @ (StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT) => upstream.failed(status.as_str()),
                _ => upstream.succeeded(),
            }
            response.headers_mut().remove(CONNECTION);
            response.into_response()
        }
        Ok(Err(error)) => {
            // After it has connected, the client may be the cause: it may have ended its
            // request early.
            if error.is_connect() {
                upstream.failed(&root_cause(&error));
            }
            bad_gateway("the upstream does not answer")
        }
        Err(_) => {
            upstream.failed("no response in time");
            bad_gateway("the upstream does not answer in time")
        }
    }
}

fn root_cause(error: &Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

fn bad_gateway(reason: &'static str) -> Response {
    (StatusCode::BAD_GATEWAY, format!("{reason}\n")).into_response()
}

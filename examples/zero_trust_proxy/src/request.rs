//! The steps of a request on its way to the upstream.

use crate::{audit::Audit, authenticate::Authenticate, authorize::Authorize, storage::Storage};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    middleware::Next,
    response::Response,
};
use std::sync::Arc;

/// The parts that handle a request.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) authenticate: Arc<Authenticate>,
    pub(crate) authorize: Arc<Authorize>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) audit: Arc<Audit>,
}

pub(crate) async fn handle(
    State(parts): State<Parts>,
    mut request: Request,
    next: Next,
) -> Result<Response, (StatusCode, String)> {
    let user = parts.authenticate.user(request.headers()).ok_or_else(|| {
        let message = "say who you are: authorization: Bearer alice, or bob\n";
        (StatusCode::UNAUTHORIZED, message.to_owned())
    })?;
    let path = request.uri().path();
    if !parts.authorize.allows(user, path) {
        let message = format!("the policy forbids {user} that\n");
        return Err((StatusCode::FORBIDDEN, message));
    }
    let count = parts.storage.count(user).await.map_err(|error| {
        eprintln!("no session for {user}: {error}");
        let message = "no session\n".to_owned();
        (StatusCode::INTERNAL_SERVER_ERROR, message)
    })?;
    parts.audit.note(user, path);

    let headers = request.headers_mut();
    headers.insert("x-user", HeaderValue::from_static(user));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-requests-of-this-user", count.into());
    Ok(response)
}

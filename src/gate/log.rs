//! Logs refused requests.

use super::head::RequestHead;
use crate::state::Reason;
use std::sync::Arc;

#[cfg(not(feature = "tracing"))]
pub(super) fn refused(_: Option<&Arc<str>>, _: Reason, _: RequestHead<'_>, _dry_run: bool) {}

/// Logs a refused request at `debug`, and never waits for it.
#[cfg(feature = "tracing")]
pub(super) fn refused(
    scope: Option<&Arc<str>>,
    reason: Reason,
    head: RequestHead<'_>,
    dry_run: bool,
) {
    use crate::{logging::Logger, panics::contained};
    use tracing::{Level, Span};

    match Logger::for_level(Level::DEBUG) {
        Logger::Here => contained(|| {
            let (method, path) = (head.method(), head.uri().path());
            emit(&Span::none(), scope, reason, method, path, dry_run);
        }),
        logger => {
            let queued = logger.queue(
                |_| true,
                || {
                    let scope = scope.cloned();
                    let (method, path) = (head.method().clone(), head.uri().path().to_owned());
                    Box::new(move |span| {
                        emit(span, scope.as_ref(), reason, &method, &path, dry_run);
                    })
                },
            );
            queued.finish(|_| ());
        }
    }
}

#[cfg(feature = "tracing")]
fn emit(
    span: &tracing::Span,
    scope: Option<&Arc<str>>,
    reason: Reason,
    method: &http::Method,
    path: &str,
    dry_run: bool,
) {
    let scope = scope.map(|scope| &**scope);
    crate::logging::event!(
        debug,
        "request_refused",
        span,
        scope,
        %reason,
        %method,
        path,
        dry_run,
        "request refused",
    );
}

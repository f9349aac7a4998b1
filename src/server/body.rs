//! The bodies of the responses of an admin listener.

use crate::response::OwnResponse;
use http::Response;

#[cfg(feature = "events")]
pub(super) type AdminBody =
    http_body_util::Either<http_body_util::Full<bytes::Bytes>, crate::observe::events::EventStream>;
#[cfg(not(feature = "events"))]
pub(super) type AdminBody = http_body_util::Full<bytes::Bytes>;

pub(super) fn whole(response: OwnResponse) -> Response<AdminBody> {
    #[cfg(feature = "events")]
    return response.map(http_body_util::Either::Left);
    #[cfg(not(feature = "events"))]
    response
}

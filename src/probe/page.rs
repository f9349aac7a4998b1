use crate::{response::OwnResponse, wire::JsonAnswer};
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use std::time::SystemTime;

/// The page of an admin listener: the answer of the status probe as HTML.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    /// Renders the answer, for a script that reads the events at this path.
    pub(crate) render: fn(&JsonAnswer<'_>, &str, SystemTime) -> String,
    /// The `content-security-policy`.
    pub(crate) policy: &'static str,
}

impl Page {
    /// Adds the headers that bound what a browser does with the page.
    pub(super) fn protect(self, response: &mut OwnResponse) {
        let headers = response.headers_mut();
        let policy = HeaderValue::from_static(self.policy);
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        let no_referrer = HeaderValue::from_static("no-referrer");
        headers.insert(REFERRER_POLICY, no_referrer);
    }
}

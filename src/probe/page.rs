use super::{format::Format, probes::Probes};
use crate::{
    response::OwnResponse,
    wire::{JsonAnswer, Probe},
};
use http::{
    HeaderMap, HeaderValue,
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

impl Probes {
    /// Returns the status probe for `/`, if there is a page and no probe is there.
    pub(super) fn probe_at_root(&self, path: &str) -> Option<Probe> {
        let has_page = self.0.page.is_some() && self.shows_names() && self.status_path().is_some();
        (path == "/" && has_page).then_some(Probe::Status)
    }

    fn status_path(&self) -> Option<&str> {
        let mut paths = self.paths();
        paths.find_map(|(path, probe)| (probe == Probe::Status).then_some(path))
    }

    pub(super) fn render_page(&self, page: Page, answer: &JsonAnswer<'_>) -> String {
        let status = self.status_path().unwrap_or_default();
        let events = format!("{}/events", status.trim_end_matches('/'));
        (page.render)(answer, &events, SystemTime::now())
    }

    /// Chooses the format of an answer. A page needs the names of subsystems.
    pub(super) fn format(&self, probe: Probe, headers: &HeaderMap) -> Format {
        if self.0.page.is_some() && self.shows_names() && probe == Probe::Status {
            Format::accepted_or_html(headers)
        } else {
            Format::accepted(headers)
        }
    }
}

//! The answers to browsers, where an admin listener has a page.

use super::{format::Format, page::Page, probes::Probes};
use crate::wire::{JsonAnswer, Probe};
use http::HeaderMap;
use std::time::SystemTime;

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

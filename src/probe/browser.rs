//! The answers to browsers, where an admin listener has a page.

use super::{format::Format, page::Page, probes::Probes};
use crate::wire::{JsonAnswer, Probe};
use http::HeaderMap;
use std::time::SystemTime;

impl Probes {
    /// Returns what a page adds to the routes: the status probe at `/`, if no probe is
    /// there; and, if the status probe is there, the groups that the page links to.
    pub(super) fn find_at_root<'p>(&self, path: &'p str) -> Option<(Probe, Option<&'p str>)> {
        let status = self.status_path().filter(|_| self.has_page())?;
        if path == "/" {
            return Some((Probe::Status, None));
        }
        let name = path.strip_prefix('/').filter(|_| status == "/")?;
        Some((Probe::Status, Some(name.strip_suffix('/').unwrap_or(name))))
    }

    fn has_page(&self) -> bool {
        self.0.page.is_some() && self.shows_names()
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
        if self.has_page() && probe == Probe::Status {
            Format::accepted_or_html(headers)
        } else {
            Format::accepted(headers)
        }
    }
}

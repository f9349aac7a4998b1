//! The members of a group, at `/statusz/NAME`.

use super::{
    answer::{build_response, line, method_not_allowed},
    format::Format,
    json::{members, millis},
    probes::Probes,
    question::Detail,
};
use crate::{
    registry::{MemberView, PageRequest},
    response::OwnResponse,
    state::{
        Age, MemberCounts, State, SubsystemView,
        text::{OneLine, Thousands},
    },
    wire::{
        JsonGroup, JsonMember,
        text::{DOWN, UP},
    },
};
use http::{HeaderMap, Method, StatusCode};
use std::fmt::{self, Write as _};
use thiserror::Error;
use tokio::time::Instant;

/// The number of members on a page without `?limit`.
const DEFAULT_LIMIT: usize = 50;

/// The maximum of `?limit`, so that no answer is longer than some 200 KiB.
const MAX_LIMIT: usize = 200;

#[derive(Debug, Error, PartialEq, Eq)]
enum QueryError {
    #[error("state takes starting, ready, degraded, failing, stale or dead")]
    State,
    #[error("limit takes 1 to {MAX_LIMIT}")]
    Limit,
    #[error("from takes the number that the page before has as next")]
    From,
}

/// Parses the query. Unknown parameters are ignored.
fn parse(query: &str) -> Result<PageRequest, QueryError> {
    let mut request = PageRequest {
        state: None,
        from: 0,
        limit: DEFAULT_LIMIT,
    };
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match key {
            "state" => {
                let state = State::ALL.iter().find(|state| state.as_str() == value);
                request.state = Some(*state.ok_or(QueryError::State)?);
            }
            "limit" => {
                let limit = value.parse().ok();
                let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
                request.limit = limit.ok_or(QueryError::Limit)?;
            }
            "from" => request.from = value.parse().map_err(|_| QueryError::From)?,
            _ => {}
        }
    }
    Ok(request)
}

/// A page of the members of a group.
struct GroupPage<'a> {
    version: u64,
    view: &'a SubsystemView,
    members: &'a [MemberView],
    next: Option<usize>,
    detail: Detail,
    now: std::time::Instant,
}

impl Probes {
    /// Answers a request about the members of the group `name`. `None` if there is no
    /// such group, or answers name no subsystems: another service may answer then.
    pub(super) fn answer_group(
        &self,
        name: &str,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<OwnResponse> {
        let detail = self.detail();
        let registry = self.0.readiness.registry();
        let group = registry
            .groups()
            .get(name)
            .filter(|_| detail >= Detail::Names)?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Some(method_not_allowed());
        }
        let request = match parse(query.unwrap_or_default()) {
            Ok(request) => request,
            Err(error) => return Some(line(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        registry.publish_overdue();
        let page = group.page(request);
        registry.read(|data| {
            let page = GroupPage {
                version: data.version,
                view: data.subsystem(name)?,
                members: &page.members,
                next: page.next,
                detail,
                now: Instant::now().into_std(),
            };
            let format = Format::accepted(headers);
            let body = match format {
                Format::Json => page.json(),
                _ => page.text(),
            };
            Some(build_response(StatusCode::OK, format.content_type(), body))
        })
    }
}

impl GroupPage<'_> {
    fn is_full(&self) -> bool {
        self.detail >= Detail::Full
    }

    fn counts(&self) -> MemberCounts {
        // The subsystem of a group always has counts.
        self.view.members().copied().unwrap_or_default()
    }

    fn json(&self) -> String {
        let member = |member: &MemberView| JsonMember {
            name: member.name.to_string().into(),
            state: member.state.as_str().into(),
            reason: (member.reason.as_deref())
                .filter(|_| self.is_full())
                .map(|reason| reason.to_owned().into()),
            for_ms: (self.is_full())
                .then(|| millis(self.now.saturating_duration_since(member.since))),
        };
        let group = JsonGroup {
            group: self.view.name().into(),
            version: self.version,
            state: self.view.state().as_str().into(),
            counts: members(&self.counts()),
            members: self.members.iter().map(member).collect(),
            next: self.next,
        };
        // Every key is a string and no value can fail to serialise.
        serde_json::to_string(&group).unwrap_or_default() + "\n"
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        for member in self.members {
            let mark = if member.state.is_up() { UP } else { DOWN };
            write!(text, "{mark}{} {}", member.name, member.state)?;
            if self.is_full() {
                let age = self.now.saturating_duration_since(member.since);
                write!(text, " for {}", Age(age))?;
                if let Some(reason) = &member.reason {
                    write!(text, ": {}", OneLine(reason))?;
                }
            }
            text.push('\n');
        }
        if let Some(next) = self.next {
            writeln!(text, "more: ?from={next}")?;
        }
        write!(text, "{} {}", self.view.name(), self.view.state())?;
        match self.view.reason().filter(|_| self.is_full()) {
            Some(reason) => writeln!(text, ": {}", OneLine(reason)),
            None => {
                let counts = self.counts();
                let [ready, total] = [counts.ready(), counts.total()].map(|n| Thousands(n as u64));
                writeln!(text, ": {ready} of {total} ready")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_parsed() {
        let request = parse("state=failing&foo&limit=200&from=7").unwrap();
        let expected = PageRequest {
            state: Some(State::Failing),
            from: 7,
            limit: 200,
        };
        assert_eq!(request, expected);
        assert_eq!(parse("").unwrap().limit, 50);
        for (bad, error) in [
            ("state=down", QueryError::State),
            ("state", QueryError::State),
            ("limit=0", QueryError::Limit),
            ("limit=201", QueryError::Limit),
            ("limit=x", QueryError::Limit),
            ("from=-1", QueryError::From),
        ] {
            assert_eq!(parse(bad), Err(error), "{bad}");
        }
    }
}

use super::{
    core::now,
    error::AttributeError,
    handle::{SubsystemHandle, shortened},
    name,
    reporter::Reporter,
};
use crate::state::{State, SubsystemView, text};
use std::fmt;

impl Reporter {
    /// Begins a report that carries attributes, or whose state is a value. Nothing is
    /// reported before [`Report::send`].
    ///
    /// Only the registry finds that a subsystem is [stale](State::Stale), so a report of
    /// that state counts as [failing](State::Failing).
    ///
    /// ```
    /// # use tower_readiness::{Readiness, State, Subsystem};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("disk")).build()?;
    /// let disk = readiness.reporter("disk")?;
    /// disk.report(State::Degraded)
    ///     .reason("almost full")
    ///     .attribute("free", "3 %")
    ///     .send()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self, state: State) -> Report<'_> {
        Report {
            handle: self.handle(),
            state: match state {
                State::Stale => State::Failing,
                state => state,
            },
            reason: String::new(),
            attributes: Vec::new(),
            invalid: None,
        }
    }
}

/// A report that is not sent yet; see [`Reporter::report`].
///
/// It has an explicit [`send`](Self::send) and does not report when it is dropped, since a
/// task that panics or returns early must not publish a half of it, and a drop could not
/// return an error.
#[must_use = "nothing is reported before `send()`"]
pub struct Report<'r> {
    /// `None` for a [detached](Reporter::detached) reporter.
    handle: Option<&'r SubsystemHandle>,
    state: State,
    reason: String,
    attributes: Vec<(String, String)>,
    /// Why the first invalid attribute is invalid.
    invalid: Option<AttributeError>,
}

impl Report<'_> {
    /// Sets the reason, cut to 1 KiB. An empty reason counts as none.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Sets an attribute, as [`Reporter::attribute`] does. [`send`](Self::send) returns the
    /// error of an invalid key.
    pub fn attribute(mut self, key: impl Into<String>, value: impl AsRef<str>) -> Self {
        let key = key.into();
        if let Err(error) = name::check_key(&key) {
            self.invalid.get_or_insert(error);
        }
        let value = text::cut(value.as_ref(), text::MAX_BYTES).to_owned();
        self.attributes.push((key, value));
        self
    }

    /// Publishes the state, the reason and the attributes in one version. A report that
    /// changes none of them only counts as a heartbeat.
    ///
    /// # Errors
    ///
    /// When an attribute has an invalid key, or the subsystem would have more than 32. The
    /// state and the reason are published nevertheless, since a failure must not be lost
    /// with its attributes; the attributes are unchanged.
    pub fn send(mut self) -> Result<(), AttributeError> {
        if self.invalid.is_some() {
            self.attributes.clear();
        }
        let reason = shortened(&self.reason);
        let sent = self.handle.map_or(Ok(()), |handle| {
            handle.report_with(self.state, reason, &self.attributes)
        });
        self.invalid.map_or(sent, Err)
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("state", &self.state)
            .field("reason", &self.reason)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

impl SubsystemHandle {
    /// Reports a state with attributes. Without room for all of the attributes, the state
    /// is reported alone.
    fn report_with(
        &self,
        state: State,
        reason: Option<&str>,
        attributes: &[(String, String)],
    ) -> Result<(), AttributeError> {
        self.start_background();
        let is_repeat = |view: &SubsystemView| view.is_repeat(state, reason);
        let has_attributes = |view: &SubsystemView| {
            let changed = view.with_attributes(attributes);
            changed.is_ok_and(|changed| changed.is_none())
        };
        if self.repeats(|view| is_repeat(view) && has_attributes(view)) {
            return Ok(());
        }
        let sent = self.change(|view| {
            let reported = (!is_repeat(view)).then(|| view.report(state, reason, now()));
            match reported
                .as_ref()
                .unwrap_or(view)
                .with_attributes(attributes)
            {
                Ok(with_attributes) => (Ok(()), with_attributes.or(reported)),
                Err(key) => {
                    let key = key.to_owned();
                    (Err(AttributeError::TooMany { key }), reported)
                }
            }
        });
        // A retired subsystem has no attributes.
        sent.unwrap_or(Ok(()))
    }
}

use super::{
    deadline::Deadline,
    error::{CheckError, ExchangeError},
    http::{Answer, MAX_BODY, Request, exchange},
    parse::{Excluded, Probe, in_json, in_text},
    report::{Report, clean},
};
use crate::{
    address::Address,
    registry::{NameError, check_name},
};
use std::time::Duration;

/// One question to a process; see the [module documentation](super).
///
/// Unless told otherwise it asks whether the process has started and is alive:
/// what a supervisor should act upon that restarts what is not.
#[derive(Clone, Debug)]
#[must_use = "it asks nothing until it is run"]
pub struct HealthCheck {
    pub(super) address: Address,
    timeout: Duration,
    question: Question,
    exclude: Vec<String>,
    pub(super) format: Format,
}

#[derive(Clone, Debug)]
enum Question {
    StartupThenLiveness,
    Startup,
    Liveness,
    Readiness,
    Scope(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Line,
    Verbose,
    Json,
}

const STARTUP: Probe = Probe {
    path: "/startupz",
    name: "startup",
    green: "started",
};
const LIVENESS: Probe = Probe {
    path: "/livez",
    name: "liveness",
    green: "live",
};
const READINESS: Probe = Probe {
    path: "/readyz",
    name: "readiness",
    green: "ready",
};

impl HealthCheck {
    /// How long a check may take in all unless [told](Self::timeout).
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// How many subsystems a process leaves out of one answer.
    pub const MAX_EXCLUDED: usize = 64;

    /// Asks at `address`: where an admin listener (feature `server`) listens, or
    /// at an application's port with probes at their default paths, which gives
    /// the verdict alone.
    ///
    /// A text is an address after `"…".parse::<Address>()?`.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            timeout: Self::TIMEOUT,
            question: Question::StartupThenLiveness,
            exclude: Vec::new(),
            format: Format::Line,
        }
    }

    /// How long it may take in all, from connecting to the end of the answer.
    /// By default 3 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks whether the process shall get traffic. For load balancers; whoever
    /// restarts what is red would restart a process that drains, or that waits
    /// for a database.
    pub fn ready(mut self) -> Self {
        self.question = Question::Readiness;
        self
    }

    /// Asks whether the process is worth keeping, started or not.
    pub fn live(mut self) -> Self {
        self.question = Question::Liveness;
        self
    }

    /// Asks whether the process has come up, and nothing else.
    pub fn startup(mut self) -> Self {
        self.question = Question::Startup;
        self
    }

    /// Asks for the readiness of one scope or subsystem.
    ///
    /// # Errors
    ///
    /// When none can have that name.
    pub fn scope(mut self, name: impl Into<String>) -> Result<Self, NameError> {
        self.question = Question::Scope(checked(name.into())?);
        Ok(self)
    }

    /// Asks as if this subsystem were not there. For the process and for
    /// scopes, [`MAX_EXCLUDED`](Self::MAX_EXCLUDED) times at most.
    ///
    /// # Errors
    ///
    /// When none can have that name.
    pub fn exclude(mut self, name: impl Into<String>) -> Result<Self, NameError> {
        self.exclude.push(checked(name.into())?);
        Ok(self)
    }

    /// Asks for a line on each subsystem too.
    pub fn verbose(mut self) -> Self {
        self.format = Format::Verbose;
        self
    }

    /// Asks for JSON.
    pub fn json(mut self) -> Self {
        self.format = Format::Json;
        self
    }

    /// Asks, and blocks until there is an answer or the time is over.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not that of a probe to this question.
    /// The process is then to be taken for unhealthy.
    pub fn run(&self) -> Result<Report, CheckError> {
        let deadline = Deadline::after(self.timeout);
        match &self.question {
            Question::StartupThenLiveness => {
                let startup = self.ask(&STARTUP, None, deadline)?;
                if !startup.is_ok() {
                    return Ok(startup);
                }
                // What has started will have started, so both hold at the
                // moment of the second answer.
                let liveness = self.ask(&LIVENESS, None, deadline)?;
                Ok(liveness.after(&startup))
            }
            Question::Startup => self.ask(&STARTUP, None, deadline),
            Question::Liveness => self.ask(&LIVENESS, None, deadline),
            Question::Readiness => self.ask(&READINESS, None, deadline),
            Question::Scope(name) => self.ask(&READINESS, Some(name), deadline),
        }
    }

    fn ask(
        &self,
        probe: &Probe,
        scope: Option<&str>,
        deadline: Deadline,
    ) -> Result<Report, CheckError> {
        let mut target = probe.path.to_owned();
        if let Some(name) = scope {
            target = target + "/" + &encoded(name);
        }
        let exclude = self
            .exclude
            .iter()
            .map(|name| format!("exclude={}", encoded(name)));
        let verbose = self.lists().then(|| "verbose".to_owned());
        let parameters: Vec<_> = verbose.into_iter().chain(exclude).collect();
        if !parameters.is_empty() {
            target = target + "?" + &parameters.join("&");
        }
        let accept = match self.format {
            Format::Json => "application/json",
            Format::Line | Format::Verbose => "text/plain",
        };
        let request = Request {
            method: "GET",
            target: &target,
            accept,
            body: "",
            keeps: false,
        };
        let answer = exchange(&self.address, &request, deadline)?;
        self.judge(probe, scope, &answer)
    }

    /// Whether a line on each subsystem is needed. They tell whether something
    /// can be left out at all.
    fn lists(&self) -> bool {
        self.format == Format::Verbose || !self.exclude.is_empty()
    }

    // === judging ===

    fn judge(
        &self,
        probe: &Probe,
        scope: Option<&str>,
        answer: &Answer,
    ) -> Result<Report, CheckError> {
        let address = || self.address.clone();
        match (answer.status, scope) {
            (300..400, _) => {
                return Err(CheckError::Redirect {
                    address: address(),
                    status: answer.status,
                    location: answer.location.clone(),
                });
            }
            (400, _) => {
                return Err(CheckError::Refused {
                    address: address(),
                    answer: clean(answer.body.trim_end()),
                });
            }
            (404, Some(name)) if answer.body == "not found\n" => {
                return Err(CheckError::UnknownScope {
                    address: address(),
                    name: name.to_owned(),
                });
            }
            _ => {}
        }
        let report = match self.format {
            // One line was asked for, and none of a probe is that long.
            Format::Line if answer.is_cut && !self.lists() => None,
            Format::Json => in_json(probe, answer),
            Format::Line | Format::Verbose => in_text(probe, answer),
        };
        let Some((report, excluded)) = report else {
            if answer.is_cut {
                return Err(CheckError::Exchange(ExchangeError::TooLong {
                    address: address(),
                    limit: MAX_BODY,
                }));
            }
            return Err(CheckError::NotAProbe {
                address: address(),
                path: probe.path.to_owned(),
                status: answer.status,
            });
        };
        match excluded {
            _ if self.exclude.is_empty() => Ok(report),
            Excluded::AllBut(names) if !names.is_empty() => Err(CheckError::UnknownExclude {
                address: address(),
                names,
            }),
            Excluded::AllBut(_) => Ok(report),
            Excluded::Nothing => Err(CheckError::NoDetails { address: address() }),
        }
    }
}

/// Names are put in the head of a request as they are.
fn checked(name: String) -> Result<String, NameError> {
    match check_name(&name) {
        // The crate has subsystems of its own.
        Ok(()) | Err(NameError::Reserved) => Ok(name),
        Err(error) => Err(error),
    }
}

/// A name as it may stand in the target of a request: `[` and `]` are reserved
/// for the host there (RFC 3986, sections 3.3 and 3.4), and `:` is not.
fn encoded(name: &str) -> String {
    name.replace('[', "%5B").replace(']', "%5D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_the_request_are_refused() {
        let check = || HealthCheck::new(Address::default());
        for name in [
            "",
            "a b",
            "a&wait=60",
            "a\r\nx: y",
            "../livez",
            &"x".repeat(129),
        ] {
            assert!(check().scope(name).is_err(), "{name}");
            assert!(check().exclude(name).is_err(), "{name}");
        }
        assert!(check().exclude("runtime").is_ok());
    }
}

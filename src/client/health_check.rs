use super::{
    deadline::Deadline,
    error::{CheckError, ExchangeError},
    http::{MAX_BODY, Request, Response, exchange},
    parse::{Excluded, Probe, parse_json, parse_text},
    report::{Report, clean},
};
use crate::{
    address::Address,
    registry::{NameError, check_name},
};
use std::time::Duration;

/// A health check of a process; see the [module documentation](super).
///
/// By default it checks that the process has started and is alive, which is the
/// right check for a supervisor that restarts unhealthy processes.
#[derive(Clone, Debug)]
#[must_use = "a health check does nothing until it is run"]
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
    /// The default [timeout](Self::timeout) of a check.
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// The number of subsystems that one check can exclude.
    pub const MAX_EXCLUDED: usize = 64;

    /// Checks the process at `address`: its admin listener (feature `server`), or
    /// an application's port with probes at their default paths, which gives the
    /// verdict alone.
    ///
    /// Parse a string with `"…".parse::<Address>()?`.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            timeout: Self::TIMEOUT,
            question: Question::StartupThenLiveness,
            exclude: Vec::new(),
            format: Format::Line,
        }
    }

    /// Sets the time for the whole check, from connecting to the end of the
    /// answer. By default 3 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks that the process is ready for traffic. For load balancers; a
    /// supervisor with this check would restart a process that drains, or that
    /// waits for a database.
    pub fn ready(mut self) -> Self {
        self.question = Question::Readiness;
        self
    }

    /// Checks that the process is alive, whether or not it has started.
    pub fn live(mut self) -> Self {
        self.question = Question::Liveness;
        self
    }

    /// Checks only that the process has started.
    pub fn startup(mut self) -> Self {
        self.question = Question::Startup;
        self
    }

    /// Checks the readiness of one scope or subsystem.
    ///
    /// # Errors
    ///
    /// When the name is invalid for scopes and subsystems.
    pub fn scope(mut self, name: impl Into<String>) -> Result<Self, NameError> {
        self.question = Question::Scope(checked(name.into())?);
        Ok(self)
    }

    /// Ignores this subsystem. For checks of the process and of scopes, at most
    /// [`MAX_EXCLUDED`](Self::MAX_EXCLUDED) times.
    ///
    /// # Errors
    ///
    /// When the name is invalid for subsystems.
    pub fn exclude(mut self, name: impl Into<String>) -> Result<Self, NameError> {
        self.exclude.push(checked(name.into())?);
        Ok(self)
    }

    /// Requests a line for each subsystem too.
    pub fn verbose(mut self) -> Self {
        self.format = Format::Verbose;
        self
    }

    /// Requests JSON.
    pub fn json(mut self) -> Self {
        self.format = Format::Json;
        self
    }

    /// Runs the check, and blocks until the process answers or the timeout
    /// expires.
    ///
    /// # Errors
    ///
    /// When the process gives no answer, or the answer is not from the probe that
    /// was asked. Treat the process as unhealthy.
    pub fn run(&self) -> Result<Report, CheckError> {
        let deadline = Deadline::after(self.timeout);
        match &self.question {
            Question::StartupThenLiveness => {
                let startup = self.probe(&STARTUP, None, deadline)?;
                if !startup.is_ok() {
                    return Ok(startup);
                }
                // The startup probe stays green, so both answers hold at the
                // moment of the second.
                let liveness = self.probe(&LIVENESS, None, deadline)?;
                Ok(liveness.with_line_of(&startup))
            }
            Question::Startup => self.probe(&STARTUP, None, deadline),
            Question::Liveness => self.probe(&LIVENESS, None, deadline),
            Question::Readiness => self.probe(&READINESS, None, deadline),
            Question::Scope(name) => self.probe(&READINESS, Some(name), deadline),
        }
    }

    fn probe(
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
        let verbose = self.needs_list().then(|| "verbose".to_owned());
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
            keep_open: false,
        };
        let response = exchange(&self.address, &request, deadline)?;
        self.interpret(probe, scope, &response)
    }

    /// Returns whether to request a line for each subsystem. With exclusions,
    /// these lines show that the probe gives details, and so can exclude.
    fn needs_list(&self) -> bool {
        self.format == Format::Verbose || !self.exclude.is_empty()
    }

    // === interpreting the response ===

    fn interpret(
        &self,
        probe: &Probe,
        scope: Option<&str>,
        response: &Response,
    ) -> Result<Report, CheckError> {
        let address = || self.address.clone();
        match (response.status, scope) {
            (300..400, _) => {
                return Err(CheckError::Redirect {
                    address: address(),
                    status: response.status,
                    location: response.location.clone(),
                });
            }
            (400, _) => {
                return Err(CheckError::Refused {
                    address: address(),
                    answer: clean(response.body.trim_end()),
                });
            }
            (404, Some(name)) if response.body == "not found\n" => {
                return Err(CheckError::UnknownScope {
                    address: address(),
                    name: name.to_owned(),
                });
            }
            _ => {}
        }
        let report = match self.format {
            // The request was for one line, and a probe's line is never this long.
            Format::Line if response.is_cut && !self.needs_list() => None,
            Format::Json => parse_json(probe, response),
            Format::Line | Format::Verbose => parse_text(probe, response),
        };
        let Some((report, excluded)) = report else {
            if response.is_cut {
                return Err(CheckError::Exchange(ExchangeError::TooLong {
                    address: address(),
                    limit: MAX_BODY,
                }));
            }
            return Err(CheckError::NotAProbe {
                address: address(),
                path: probe.path.to_owned(),
                status: response.status,
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

/// Rejects names that would change the request: the client writes a name into
/// the request line as it is.
fn checked(name: String) -> Result<String, NameError> {
    match check_name(&name) {
        // The crate's own subsystems have reserved names.
        Ok(()) | Err(NameError::Reserved) => Ok(name),
        Err(error) => Err(error),
    }
}

/// Encodes a name for the target of a request: `[` and `]` are reserved for the
/// host (RFC 3986, sections 3.3 and 3.4), and `:` is allowed.
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

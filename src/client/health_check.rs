use super::{
    deadline::Deadline,
    error::{CheckError, ExchangeError},
    http::{HttpResponse, MAX_BODY, Request, exchange},
    parse::{parse_json, parse_text},
    report::{Report, clean},
};
use crate::{
    address::Address,
    registry::{NameError, check_name},
    wire::Probe,
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
    /// The probe to ask, and the scope below it. `None` stands for startup, then
    /// liveness.
    probe: Option<Probe>,
    scope: Option<String>,
    exclude: Vec<String>,
    pub(super) format: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    Line,
    Verbose,
    Json,
}

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
            probe: None,
            scope: None,
            exclude: Vec::new(),
            format: OutputFormat::Line,
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
    pub fn ready(self) -> Self {
        self.question(Probe::Readiness, None)
    }

    /// Checks that the process is alive, whether or not it has started.
    pub fn live(self) -> Self {
        self.question(Probe::Liveness, None)
    }

    /// Checks only that the process has started.
    pub fn startup(self) -> Self {
        self.question(Probe::Startup, None)
    }

    /// Checks the readiness of one scope or subsystem.
    pub fn scope(self, name: impl Into<String>) -> Self {
        self.question(Probe::Readiness, Some(name.into()))
    }

    fn question(self, probe: Probe, scope: Option<String>) -> Self {
        Self {
            probe: Some(probe),
            scope,
            ..self
        }
    }

    /// Ignores this subsystem. For checks of the process and of scopes, at most
    /// [`MAX_EXCLUDED`](Self::MAX_EXCLUDED) times.
    pub fn exclude(mut self, name: impl Into<String>) -> Self {
        self.exclude.push(name.into());
        self
    }

    /// Requests a line for each subsystem too.
    pub fn verbose(mut self) -> Self {
        self.format = OutputFormat::Verbose;
        self
    }

    /// Requests JSON.
    pub fn json(mut self) -> Self {
        self.format = OutputFormat::Json;
        self
    }

    /// Checks the names of the scope and of the excluded subsystems, as
    /// [`run`](Self::run) does before it connects.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](CheckError::InvalidName) and
    /// [`TooManyExcluded`](CheckError::TooManyExcluded).
    pub fn validate(&self) -> Result<(), CheckError> {
        let scope = self.scope.iter().map(|name| ("scope", name));
        let exclude = self.exclude.iter().map(|name| ("exclude", name));
        for (setting, name) in scope.chain(exclude) {
            match check_name(name) {
                // The crate's own subsystems have reserved names.
                Ok(()) | Err(NameError::Reserved) => {}
                // The client writes a name into the request line as it is, so this
                // one could change the request.
                Err(reason) => {
                    return Err(CheckError::InvalidName {
                        setting,
                        name: name.clone(),
                        reason,
                    });
                }
            }
        }
        match self.exclude.len() {
            ..=Self::MAX_EXCLUDED => Ok(()),
            count => Err(CheckError::TooManyExcluded {
                count,
                most: Self::MAX_EXCLUDED,
            }),
        }
    }

    /// Runs the check, and blocks until the process answers or the timeout
    /// expires.
    ///
    /// # Errors
    ///
    /// When a setting is invalid, when the process gives no answer, and when the
    /// answer is not from the probe that was asked. Treat the process as unhealthy.
    pub fn run(&self) -> Result<Report, CheckError> {
        self.validate()?;
        let deadline = Deadline::after(self.timeout);
        if let Some(probe) = self.probe {
            return self.ask(probe, deadline);
        }
        let startup = self.ask(Probe::Startup, deadline)?;
        if !startup.is_ok() {
            return Ok(startup);
        }
        // The startup probe stays green, so both answers hold at the moment of the
        // second.
        let liveness = self.ask(Probe::Liveness, deadline)?;
        Ok(liveness.with_line_of(&startup))
    }

    fn ask(&self, probe: Probe, deadline: Deadline) -> Result<Report, CheckError> {
        let mut target = probe.default_path().to_owned();
        if let Some(name) = &self.scope {
            target = target + "/" + &encoded(name);
        }
        let mut query = String::new();
        if self.needs_list() {
            query += "&verbose";
        }
        for name in &self.exclude {
            query = query + "&exclude=" + &encoded(name);
        }
        target += &query.replacen('&', "?", 1);
        let accept = match self.format {
            OutputFormat::Json => "application/json",
            OutputFormat::Line | OutputFormat::Verbose => "text/plain",
        };
        let request = Request {
            method: "GET",
            target: &target,
            accept,
            body: "",
            last_event_id: None,
        };
        let (response, _connection) = exchange(&self.address, &request, deadline)?;
        self.interpret(probe, response)
    }

    /// Returns whether to request a line for each subsystem. With exclusions,
    /// these lines show that the probe gives details, and so can exclude.
    fn needs_list(&self) -> bool {
        self.format == OutputFormat::Verbose || !self.exclude.is_empty()
    }

    pub(super) fn interpret(
        &self,
        probe: Probe,
        response: HttpResponse,
    ) -> Result<Report, CheckError> {
        let parsed = match self.format {
            // The request was for one line, and a probe's line is never this long.
            OutputFormat::Line if response.is_cut && !self.needs_list() => None,
            OutputFormat::Json => parse_json(probe, &response),
            OutputFormat::Line | OutputFormat::Verbose => parse_text(probe, &response),
        };
        let address = self.address.clone();
        let status = response.status;
        Err(match parsed {
            Some((report, _)) if self.exclude.is_empty() => return Ok(report),
            Some((report, Some(unknown))) if unknown.is_empty() => return Ok(report),
            Some((_, Some(names))) => CheckError::UnknownExclude { address, names },
            Some((_, None)) => CheckError::NoDetails { address },
            None => match (status, self.scope.clone()) {
                (300..400, _) => CheckError::Redirect {
                    address,
                    status,
                    location: response.location,
                },
                // The body would say which of the answers of a probe it is, if any.
                (200 | 400 | 404 | 503, _) if response.is_encoded => {
                    ExchangeError::Encoded { address }.into()
                }
                (400, _) => CheckError::Refused {
                    address,
                    answer: clean(response.body.trim_end()),
                },
                (404, Some(name)) if response.body == "not found\n" => {
                    CheckError::UnknownScope { address, name }
                }
                _ if response.is_cut => {
                    let limit = MAX_BODY;
                    ExchangeError::TooLong { address, limit }.into()
                }
                _ => CheckError::NotAProbe {
                    address,
                    path: probe.default_path().to_owned(),
                    status,
                },
            },
        })
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
            for (check, expected) in [
                (check().scope(name), "scope"),
                (check().exclude(name), "exclude"),
            ] {
                let error = check.run().unwrap_err();
                assert!(
                    matches!(error, CheckError::InvalidName { setting, .. } if setting == expected),
                    "{error:?}"
                );
            }
        }
        assert!(check().exclude("runtime").validate().is_ok());
    }

    #[test]
    fn a_check_excludes_a_limited_number_of_names() {
        let exclude = |count| {
            let check = HealthCheck::new(Address::default());
            (0..count).fold(check, |check, _| check.exclude("a"))
        };
        assert!(exclude(HealthCheck::MAX_EXCLUDED).validate().is_ok());
        let error = exclude(HealthCheck::MAX_EXCLUDED + 1).run().unwrap_err();
        assert!(
            matches!(
                error,
                CheckError::TooManyExcluded {
                    count: 65,
                    most: 64
                }
            ),
            "{error:?}"
        );
    }
}

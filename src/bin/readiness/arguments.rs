use lexopt::{Arg, Parser};
use std::{ffi::OsString, time::Duration};
#[cfg(unix)]
use tower_readiness::client::Commands;
use tower_readiness::client::{Address, HealthCheck, WatchCommand};

/// The parsed command line.
pub(crate) enum Arguments {
    Help,
    Version,
    HealthCheck(HealthCheck),
    Watch(WatchCommand),
    #[cfg(unix)]
    Send(Commands, Operation),
}

#[cfg(unix)]
pub(crate) enum Operation {
    Pause(String),
    Resume,
    Drain,
    /// Waits without a limit if there is no `--timeout`.
    DrainAndWait(Option<Duration>),
}

/// A usage error: the message that explains which argument is wrong.
pub(crate) struct Usage(pub(crate) String);

impl From<lexopt::Error> for Usage {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

fn wrong<T>(text: impl Into<String>) -> Result<T, Usage> {
    Err(Usage(text.into()))
}

/// The options as parsed one by one, before checking how they combine.
#[derive(Default)]
struct Given {
    values: Vec<String>,
    addr: Option<String>,
    timeout: Option<Duration>,
    /// The flag that chooses the probe, and the scope's name for `--scope`.
    question: Option<(&'static str, String)>,
    exclude: Vec<String>,
    verbose: bool,
    json: bool,
    wait: bool,
}

impl Arguments {
    /// `from` begins with the name of the program; `environment` is the value
    /// of `READINESS_ADDR`, used if the arguments name no address.
    pub(crate) fn parse(
        from: impl IntoIterator<Item = OsString, IntoIter: 'static>,
        environment: Option<OsString>,
    ) -> Result<Self, Usage> {
        let mut parser = Parser::from_iter(from);
        let mut given = Given::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Self::Version),
                Arg::Long("ready") => given.ask("--ready", String::new())?,
                Arg::Long("live") => given.ask("--live", String::new())?,
                Arg::Long("startup") => given.ask("--startup", String::new())?,
                Arg::Long("scope") => given.ask("--scope", text(parser.value()?)?)?,
                Arg::Long("exclude") => given.exclude.push(text(parser.value()?)?),
                Arg::Long("verbose") => given.verbose = true,
                Arg::Long("json") => given.json = true,
                Arg::Long("wait") => given.wait = true,
                Arg::Long("addr") => given.addr = Some(text(parser.value()?)?),
                Arg::Long("timeout") => given.timeout = Some(seconds(&text(parser.value()?)?)?),
                Arg::Value(value) => given.values.push(text(value)?),
                other => return Err(other.unexpected().into()),
            }
        }
        given.combine(environment)
    }
}

impl Given {
    /// Records the flag that chooses the probe. `--ready` and `--scope` combine,
    /// because the check of a scope is always its readiness.
    fn ask(&mut self, flag: &'static str, name: String) -> Result<(), Usage> {
        self.question = match self.question.take() {
            Some((one, _)) if one == "--ready" && flag == "--scope" => Some((flag, name)),
            Some((one, name)) if one == "--scope" && flag == "--ready" => Some((one, name)),
            Some(("--scope", _)) if flag == "--scope" => return wrong("give --scope once"),
            Some((one, _)) if one != flag => {
                return wrong(format!("either {one} or {flag}, once"));
            }
            _ => Some((flag, name)),
        };
        Ok(())
    }

    fn combine(mut self, environment: Option<OsString>) -> Result<Arguments, Usage> {
        let mut values = std::mem::take(&mut self.values).into_iter();
        let Some(command) = values.next() else {
            return wrong("a command is missing: check, watch, pause, resume or drain");
        };
        let value = values.next();
        if let Some(value) = values.next() {
            return wrong(format!(
                "unexpected {value:?} (quote values that contain blanks)"
            ));
        }
        if self.wait && command != "drain" {
            return wrong("--wait is an option of drain");
        }
        let asks = self.question.is_some() || !self.exclude.is_empty();
        let is_json = self.json && command != "watch";
        if command != "check" && (asks || self.verbose || is_json) {
            return wrong(format!("{command} does not take the options of check"));
        }
        match (&*command, value) {
            ("check" | "watch", value) => {
                if value.is_some() && self.addr.is_some() {
                    return wrong("either ADDR or --addr ADDR");
                }
                let address = address(value.or(self.addr.take()), environment)?;
                if command == "check" {
                    return Ok(Arguments::HealthCheck(self.check(address)?));
                }
                if self.timeout.is_some() {
                    return wrong("watch goes on until it is stopped, and takes no --timeout");
                }
                let watch = WatchCommand::new(address);
                Ok(Arguments::Watch(if self.json {
                    watch.json()
                } else {
                    watch
                }))
            }
            ("pause" | "resume" | "drain", value) => {
                let address = address(self.addr.take(), environment)?;
                self.command(&command, value, address)
            }
            _ => wrong(format!(
                "{command:?} is not a command; use check, watch, pause, resume or drain"
            )),
        }
    }

    fn check(self, address: Address) -> Result<HealthCheck, Usage> {
        let mut check = HealthCheck::new(address);
        if let Some(timeout) = self.timeout {
            check = check.timeout(timeout);
        }
        check = match self.question {
            Some(("--ready", _)) => check.ready(),
            Some(("--live", _)) => check.live(),
            Some(("--startup", _)) => check.startup(),
            Some((_, name)) => check.scope(name),
            None => check,
        };
        check = self.exclude.into_iter().fold(check, HealthCheck::exclude);
        if self.verbose {
            check = check.verbose();
        }
        // JSON lists the subsystems by itself, so it replaces --verbose.
        if self.json {
            check = check.json();
        }
        check.validate().map_err(|error| Usage(error.to_string()))?;
        Ok(check)
    }

    #[cfg(unix)]
    fn command(
        self,
        command: &str,
        value: Option<String>,
        address: Address,
    ) -> Result<Arguments, Usage> {
        let Address::Unix(path) = address else {
            return wrong(format!(
                "{command} goes over a unix socket, not {address}: --addr unix:PATH"
            ));
        };
        let mut commands = Commands::new(path);
        if let Some(timeout) = self.timeout {
            commands = commands.timeout(timeout);
        }
        let command = match (command, value) {
            ("pause", reason) => Operation::Pause(reason.unwrap_or_default()),
            ("resume", None) => Operation::Resume,
            ("drain", None) if self.wait => Operation::DrainAndWait(self.timeout),
            ("drain", None) => Operation::Drain,
            (_, value) => {
                let value = value.unwrap_or_default();
                return wrong(format!("{command} takes no argument, but got {value:?}"));
            }
        };
        Ok(Arguments::Send(commands, command))
    }

    #[cfg(not(unix))]
    fn command(self, command: &str, _: Option<String>, _: Address) -> Result<Arguments, Usage> {
        wrong(format!(
            "{command} needs a unix socket, which this system does not support"
        ))
    }
}

fn address(given: Option<String>, environment: Option<OsString>) -> Result<Address, Usage> {
    let (text, from) = match (given, environment) {
        (Some(text), _) => (text, ""),
        (None, Some(text)) if !text.is_empty() => (self::text(text)?, "READINESS_ADDR: "),
        (None, _) => return Ok(Address::default()),
    };
    Address::try_from(text).map_err(|error| Usage(format!("{from}{error}")))
}

fn text(value: OsString) -> Result<String, Usage> {
    let shown = |value: OsString| Usage(format!("{value:?} is not UTF-8"));
    value.into_string().map_err(shown)
}

/// Parses a decimal number of seconds, from 0.001 to a day.
fn seconds(text: &str) -> Result<Duration, Usage> {
    const DAY: f64 = 24.0 * 60.0 * 60.0;
    // `parse` alone would accept a sign, an exponent and `inf`.
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    match text.parse() {
        Ok(seconds) if is_decimal && (0.001..=DAY).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => wrong(format!(
            "--timeout takes seconds, 0.001 to 86400, not {text:?}"
        )),
    }
}

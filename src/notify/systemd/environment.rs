use super::{error::SystemdError, sender::Sender};
use std::{
    env,
    ffi::{OsStr, OsString},
    process,
    time::Duration,
};

/// The environment variables that systemd sets for a service.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) socket: Option<OsString>,
    pub(super) watchdog_usec: Option<OsString>,
    pub(super) watchdog_pid: Option<OsString>,
}

impl Environment {
    pub(super) fn read() -> Self {
        Self {
            socket: env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: env::var_os("WATCHDOG_USEC"),
            watchdog_pid: env::var_os("WATCHDOG_PID"),
        }
    }

    /// Returns the sender to `NOTIFY_SOCKET`, or `None` if it is unset or empty.
    pub(super) fn sender(&self) -> Result<Option<Sender>, SystemdError> {
        non_empty(self.socket.as_deref())
            .map(Sender::new)
            .transpose()
    }

    /// Returns the time without a ping after which systemd takes this process for
    /// dead, or `None` if the watchdog is off or for another process.
    pub(super) fn watchdog(&self) -> Result<Option<Duration>, SystemdError> {
        let Some(usec) = number("WATCHDOG_USEC", self.watchdog_usec.as_deref())? else {
            return Ok(None);
        };
        let pid = number("WATCHDOG_PID", self.watchdog_pid.as_deref())?;
        let ours = pid.is_none_or(|pid| pid == u64::from(process::id()));
        Ok(ours.then(|| Duration::from_micros(usec)))
    }
}

/// Treats an empty variable as unset: a shell cannot unset one for a single
/// command.
fn non_empty(value: Option<&OsStr>) -> Option<&OsStr> {
    value.filter(|value| !value.is_empty())
}

fn number(variable: &'static str, value: Option<&OsStr>) -> Result<Option<u64>, SystemdError> {
    let Some(value) = non_empty(value) else {
        return Ok(None);
    };
    let number = value.to_str().and_then(|value| value.parse().ok());
    match number {
        Some(number @ 1..) => Ok(Some(number)),
        _ => Err(SystemdError::Watchdog {
            variable,
            value: value.to_string_lossy().into_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(usec: &str, pid: Option<&str>) -> Result<Option<Duration>, SystemdError> {
        let environment = Environment {
            watchdog_usec: Some(usec.into()),
            watchdog_pid: pid.map(Into::into),
            ..Environment::default()
        };
        environment.watchdog()
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let second = Some(Duration::from_secs(1));
        let ours = process::id().to_string();
        assert_eq!(watchdog("1000000", None), Ok(second));
        assert_eq!(watchdog("1000000", Some("")), Ok(second));
        assert_eq!(watchdog("1000000", Some(&ours)), Ok(second));
        assert_eq!(watchdog("1000000", Some("1")), Ok(None));
        assert_eq!(watchdog("", Some("garbage")), Ok(None));
    }

    #[test]
    fn an_invalid_watchdog_is_an_error() {
        for usec in ["0", "-1", "1s", " 1000", "1e6", "18446744073709551616"] {
            let error = SystemdError::Watchdog {
                variable: "WATCHDOG_USEC",
                value: usec.to_owned(),
            };
            assert_eq!(watchdog(usec, None), Err(error));
        }
        assert!(watchdog("1000000", Some("me")).is_err());
    }

    #[test]
    fn without_a_socket_there_is_no_sender() {
        for socket in [None, Some(OsString::new())] {
            let environment = Environment {
                socket,
                ..Environment::default()
            };
            assert!(environment.sender().unwrap().is_none());
        }
    }
}

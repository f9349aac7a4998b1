//! A real HAProxy.

use crate::{BoxError, temporary::Directory};
use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How the balancer checks its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// HAProxy's own: every 2 s, down after 3, up after 2.
    Defaults,
    /// Every 300 ms, down after 3, up after 1.
    Tuned,
    /// Every 10 s, down after 3, up after 1.
    Slow,
}

impl Checks {
    /// For how long a rollout waits after a replica's probe turned green.
    pub(crate) fn detection(self) -> Duration {
        match self {
            Self::Defaults => Duration::from_millis(6_500),
            Self::Tuned => Duration::from_secs(1),
            Self::Slow => Duration::from_millis(10_500),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Defaults => include_str!("haproxy/defaults.cfg"),
            Self::Tuned | Self::Slow => include_str!("haproxy/tuned.cfg"),
        }
    }

    /// From one check of a server to the next.
    pub(crate) fn interval(self) -> Duration {
        match self {
            Self::Defaults => Duration::from_secs(2),
            Self::Tuned => Duration::from_millis(300),
            Self::Slow => Duration::from_secs(10),
        }
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Defaults => "its own checks (every 2 s, down after 3, up after 2)",
            Self::Tuned => "a check every 300 ms (down after 3, up after 1)",
            Self::Slow => "a check every 10 s (down after 3, up after 1)",
        })
    }
}

/// Whether the balancer sends a failed request to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retries {
    Off,
    /// Once, for requests that reached no handler and are idempotent.
    On,
}

impl Retries {
    fn lines(self) -> &'static str {
        match self {
            Self::Off => "retries 0",
            Self::On => "retries 1\n    option redispatch 1\n    retry-on conn-failure 503",
        }
    }
}

pub(crate) struct Settings<'a> {
    pub(crate) checks: Checks,
    pub(crate) retries: Retries,
    pub(crate) probe: &'a str,
    /// One port for each server.
    pub(crate) servers: &'a [u16],
    /// For clients that speak HTTP/1, HTTP/2 and through a plain TCP proxy.
    pub(crate) ports: [u16; 3],
}

/// Killed when it is dropped.
pub(crate) struct Balancer {
    child: Child,
    ports: [u16; 3],
    stats: PathBuf,
    _directory: Directory,
}

impl Balancer {
    const PROGRAM: &str = "haproxy";

    pub(crate) async fn start(settings: &Settings<'_>) -> Result<Self, BoxError> {
        let directory = Directory::new()?;
        let stats = directory.path.join("stats");
        let config = directory.path.join("haproxy.cfg");
        fs::write(&config, render(settings, &stats.display().to_string()))?;
        let checked = Command::new(Self::PROGRAM)
            .args(["-c", "-q", "-f"])
            .arg(&config)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", Self::PROGRAM))?;
        if !checked.status.success() {
            let message = String::from_utf8_lossy(&checked.stderr);
            return Err(format!("haproxy refuses its configuration: {message}").into());
        }
        // -db: in the foreground, so that a kill reaches HAProxy itself.
        let child = Command::new(Self::PROGRAM)
            .args(["-db", "-q", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            ports: settings.ports,
            stats,
            _directory: directory,
        })
    }

    pub(crate) fn http1(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    pub(crate) fn http2(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[1]).into()
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[2]).into()
    }

    /// Waits until the balancer holds exactly the first `up` servers for up.
    pub(crate) async fn settled(&self, up: usize) -> Result<(), BoxError> {
        let settled = async {
            loop {
                if let Ok(servers) = self.servers().await {
                    let right = servers
                        .iter()
                        .enumerate()
                        .all(|(slot, state)| *state == if slot < up { "UP" } else { "DOWN" });
                    if right && !servers.is_empty() {
                        return;
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(60), settled)
            .await
            .map_err(|_| "haproxy does not see its servers".into())
    }

    /// The state of each server of the first backend: `UP`, `DOWN`, or, while
    /// it is about to change, such as `UP 1/3`.
    pub(crate) async fn servers(&self) -> Result<Vec<String>, BoxError> {
        let mut stream = UnixStream::connect(&self.stats).await?;
        stream.write_all(b"show stat app 4 -1\n").await?;
        let mut table = String::new();
        stream.read_to_string(&mut table).await?;
        let states = table.lines().filter_map(|line| {
            let mut columns = line.split(',');
            let proxy = columns.next()?;
            let state = columns.nth(16)?;
            (proxy == "app").then(|| state.to_owned())
        });
        Ok(states.collect())
    }

    pub(crate) async fn stop(mut self) -> Result<(), BoxError> {
        Ok(self.child.kill().await?)
    }
}

fn render(settings: &Settings<'_>, stats: &str) -> String {
    let [http1, http2, tcp] = settings.ports.map(|port| port.to_string());
    let interval = format!("{}ms", settings.checks.interval().as_millis());
    let mut config = String::new();
    for line in settings.checks.template().lines() {
        let line = line
            .replace("{{stats}}", stats)
            .replace("{{http1}}", &http1)
            .replace("{{http2}}", &http2)
            .replace("{{tcp}}", &tcp)
            .replace("{{probe}}", settings.probe)
            .replace("{{inter}}", &interval)
            .replace("{{retries}}", settings.retries.lines());
        if !line.contains("{{slot}}") || line.starts_with('#') {
            config.push_str(&line);
            config.push('\n');
            continue;
        }
        for (slot, port) in settings.servers.iter().enumerate() {
            let line = line
                .replace("{{slot}}", &slot.to_string())
                .replace("{{port}}", &port.to_string());
            config.push_str(&line);
            config.push('\n');
        }
    }
    config
}

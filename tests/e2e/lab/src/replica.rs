//! One process that serves, controlled by the driver.

use crate::{BoxError, arms::Config};
use rustix::process::{Pid, Signal, kill_process};
use std::{net::Ipv4Addr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Killed when it is dropped.
pub(crate) struct Replica {
    child: Child,
    config: Config,
}

impl Replica {
    /// Longer than any drain delay and the longest request together.
    const EXIT_WITHIN: Duration = Duration::from_secs(60);
    const READY_WITHIN: Duration = Duration::from_secs(60);
    /// This program, even if a build has replaced its file since.
    const PROGRAM: &str = "/proc/self/exe";
    const POLL_EVERY: Duration = Duration::from_millis(100);

    pub(crate) fn spawn(config: Config) -> Result<Self, BoxError> {
        let child = Command::new(Self::PROGRAM)
            .arg0("rollout")
            .arg("serve")
            .arg(serde_json::to_string(&config)?)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, config })
    }

    /// Waits until the probe of the replica is green, as a rollout does.
    pub(crate) async fn ready(&mut self) -> Result<(), BoxError> {
        let (port, path) = (self.config.port, self.config.arm.probe());
        let green = async {
            // It refuses connections at first.
            while !matches!(ask("GET", port, path).await, Ok(200)) {
                sleep(Self::POLL_EVERY).await;
            }
        };
        tokio::select! {
            green = timeout(Self::READY_WITHIN, green) => Ok(green?),
            status = self.child.wait() => Err(format!("{:?} ended: {}", self.config, status?).into()),
        }
    }

    /// SIGTERM; returns once it has ended by itself.
    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        self.end(true).await
    }

    /// SIGTERM, to a replica that cuts off open streams and so ends with an error.
    pub(crate) async fn stop_cutting_off(self) -> Result<(), BoxError> {
        self.end(false).await
    }

    async fn end(mut self, succeeds: bool) -> Result<(), BoxError> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        kill_process(pid.ok_or("ended before it was told to")?, Signal::TERM)?;
        let status = timeout(Self::EXIT_WITHIN, self.child.wait())
            .await
            .map_err(|_| format!("{:?} does not end", self.config))??;
        if status.success() == succeeds {
            Ok(())
        } else {
            Err(format!("{:?} ended with {status}", self.config).into())
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<(), BoxError> {
        Ok(self.child.kill().await?)
    }

    pub(crate) async fn control(&self, path: &str) -> Result<(), BoxError> {
        match ask("POST", self.config.port, path).await? {
            200 => Ok(()),
            status => Err(format!("{path}: {status}").into()),
        }
    }
}

/// A request on a connection of its own, as kubelet makes it.
pub(crate) async fn ask(method: &str, port: u16, path: &str) -> Result<u16, BoxError> {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: app\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(status.ok_or("no status line")?)
    };
    timeout(Duration::from_secs(1), exchange).await?
}

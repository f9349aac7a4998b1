//! The server as a process of its own, which the driver commands over pipes.

use crate::{Error, measure::Measure, options::Options, outside::Clock};
use rustix::process::Pid;
use std::{env, net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Longer than a server needs to end what disturbs it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// The server, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) application: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Server {
    pub(crate) async fn start(options: &Options, clock: Option<&Clock>) -> Result<Self, Error> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--serve");
        if let Some(fault) = options.fault {
            command.args(["--break", fault.name()]);
        }
        if let Some(clock) = clock {
            command.envs(clock.environment());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("the server has no input")?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut output = BufReader::new(output).lines();
        let line = timeout(ANSWERS_WITHIN, output.next_line()).await??;
        let line = line.ok_or("the server did not start")?;
        let (application, admin) = line.split_once(' ').ok_or("the server has no admin")?;
        Ok(Self {
            child,
            input,
            output,
            application: application.parse()?,
            admin: admin.parse()?,
        })
    }

    pub(crate) fn pid(&self) -> Result<Pid, Error> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw);
        pid.ok_or_else(|| "the server has ended".into())
    }

    /// Sends a command, and returns its answer.
    pub(crate) async fn command(&mut self, command: &str) -> Result<String, Error> {
        self.input
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let line = timeout(ANSWERS_WITHIN, self.output.next_line()).await;
        let line = line.map_err(|_| format!("the server did not answer {command}"))??;
        line.ok_or_else(|| format!("the server ended at {command}").into())
    }

    pub(crate) async fn measure(&mut self) -> Result<Measure, Error> {
        self.command("measure").await?.parse()
    }

    /// Lets the server drain and end, which it must do without an error.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        drop(self.input);
        let status = timeout(ANSWERS_WITHIN, self.child.wait()).await;
        let status = status.map_err(|_| "the server does not end")??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

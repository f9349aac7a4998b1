//! The mirrors that write by themselves: to systemd, and into the termination file.

use crate::{
    folder::Folder,
    history::Column,
    surfaces::{Surface, Verdicts},
};
use std::{
    fs::{self, File},
    mem::replace,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};
use tower_readiness::{
    Phase, Readiness,
    notify::systemd::{Systemd, SystemdOptions},
};

/// The time in which systemd expects a ping. Two pings fit into it.
pub const WATCHDOG: Duration = Duration::from_secs(2);

/// The file that explains the process after its death, read as an operator does.
pub struct TerminationFile {
    readiness: Readiness,
    path: PathBuf,
    _folder: Folder,
}

impl TerminationFile {
    pub fn new(readiness: &Readiness) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("termination-log");
        File::create(&path).unwrap();
        readiness.termination_message(&path);
        Self {
            readiness: readiness.clone(),
            path,
            _folder: folder,
        }
    }

    /// The line about the newest snapshot. A thread writes it, by the real clock.
    fn line(&self) -> String {
        let end = format!("; version {}\n", self.readiness.snapshot().version());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = fs::read_to_string(&self.path).unwrap();
            if let Some(line) = text.strip_suffix(&end) {
                // A read while the thread writes may return the begin of the former text
                // and the end of the new one. The next read returns the new text alone.
                if fs::read_to_string(&self.path).unwrap() == text {
                    return line.to_owned();
                }
            }
            assert!(
                Instant::now() < deadline,
                "{text:?} does not end in {end:?}"
            );
            thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Surface for TerminationFile {
    fn verdicts(&mut self) -> Verdicts {
        let line = self.line();
        let parts: Vec<_> = line.split("; ").collect();
        let says = |begin: &str| parts.iter().any(|part| part.starts_with(begin));
        let phases = ["draining since", "closing since", "closed since"].map(says);
        let mut verdicts = vec![
            (Column::Ready(0), says("ready since")),
            (Column::Live, !says("liveness red")),
        ];
        let later = [Phase::Draining, Phase::Closing, Phase::Closed];
        let at_least = |from: usize| phases[from..].contains(&true);
        verdicts.extend((0..3).map(|it| (Column::Since(later[it]), at_least(it))));
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// The other end of `NOTIFY_SOCKET`, and the state that its messages describe.
pub struct ServiceManager {
    socket: UnixDatagram,
    is_ready: bool,
    is_stopping: bool,
    /// Whether a ping came after the last move of the clock.
    is_pinged: bool,
    _folder: Folder,
}

impl ServiceManager {
    pub fn new(readiness: &Readiness) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let options = SystemdOptions::default().socket(path).watchdog(WATCHDOG);
        let systemd = readiness.notify_systemd_with(options);
        assert_eq!(systemd, Ok(Systemd::Present));
        Self {
            socket,
            is_ready: false,
            is_stopping: false,
            is_pinged: false,
            _folder: folder,
        }
    }
}

impl Surface for ServiceManager {
    fn verdicts(&mut self) -> Verdicts {
        vec![
            (Column::Started, self.is_ready),
            (Column::Since(Phase::Draining), self.is_stopping),
            (Column::Live, self.is_pinged),
        ]
    }

    fn receive(&mut self) {
        let mut message = [0; 4_096];
        self.is_pinged = false;
        while let Ok(bytes) = self.socket.recv(&mut message) {
            for line in std::str::from_utf8(&message[..bytes]).unwrap().lines() {
                match line.split_once('=').unwrap() {
                    ("READY", "1") => assert!(!replace(&mut self.is_ready, true)),
                    ("STOPPING", "1") => assert!(!replace(&mut self.is_stopping, true)),
                    ("WATCHDOG", "1") => self.is_pinged = true,
                    ("STATUS", _) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

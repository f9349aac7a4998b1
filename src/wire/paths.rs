//! The paths of probes and commands.

/// The default path of [`Probe::Startup`](super::Probe::Startup).
pub const STARTUP: &str = "/startupz";

/// The default path of [`Probe::Readiness`](super::Probe::Readiness). Below it, each
/// scope and each subsystem has a path: `/readyz/NAME`.
pub const READINESS: &str = "/readyz";

/// The default path of [`Probe::Liveness`](super::Probe::Liveness).
pub const LIVENESS: &str = "/livez";

/// The default path of [`Probe::Health`](super::Probe::Health).
pub const HEALTH: &str = "/healthz";

/// The default path of [`Probe::Status`](super::Probe::Status).
pub const STATUS: &str = "/statusz";

/// The path of the event stream of an admin listener: below that of the status
/// probe, wherever that one answers.
pub const EVENTS: &str = "/statusz/events";

/// The path of the metrics of an admin listener.
pub const METRICS: &str = "/metrics";

/// The path of the command to pause, with `POST`; the body is the reason.
pub const PAUSE: &str = "/commands/pause";

/// The path of the command to resume, with `POST`.
pub const RESUME: &str = "/commands/resume";

/// The path of the command to drain, with `POST`. `GET` waits until a process that
/// drains is closed.
pub const DRAIN: &str = "/commands/drain";

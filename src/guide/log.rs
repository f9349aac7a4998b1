//! The log events of the crate: names, levels and fields.
//!
//! With the feature `tracing` (default), the crate logs to the subscriber of the process.
//! All events have the target `tower_readiness`. An event is identified by its name
//! (`Metadata::name` of tracing). Names, levels and fields follow semantic versioning;
//! messages are for people and may change.
//!
//! | name | level | fields | logged when |
//! |---|---|---|---|
//! | `accept_failed` | warn | `error` | a listener of the crate cannot accept a connection, for example because the file descriptors are used up |
//! | `admin_listener` | info | `address` | the admin listener answers |
//! | `command_accepted` | info | `command`, `uid` | an operator sent a command |
//! | `drain_plan` | info | `cap`, `delay` | a [`Shutdown`](crate::drain::Shutdown) is built; the longest `delay` and the `cap` are in seconds |
//! | `drained` | info, warn | `cut_off`, `late`, `seconds`, `served`, `version` | the process closes; see below |
//! | `idle_connections_dropped` | info |  | [`run`](crate::Readiness::run) drops a server that has only idle connections |
//! | `late_arrivals` | warn | `late` | the drain delay ends, and requests still arrive; `late` is their number so far |
//! | `lines_left_out` | warn | `process_ready`, `reason`, `state`, `subsystem`, `version` | a subsystem changed more than 10 times in a minute, and the changes since were left out |
//! | `lines_lost` | warn | `lost` | the log was not read in time, and `lost` lines are missing |
//! | `liveness_lost` | error | `version` | a vital subsystem is dead or stale |
//! | `liveness_regained` | info | `version` | it is up again |
//! | `paused` | info | `reason`, `version` | a pause begins, or its reason changes |
//! | `phase` | info | `from`, `to`, `version` | the phase changed |
//! | `readiness_lost` | warn | `causes`, `condition`, `version` | the process was ready and is no longer |
//! | `readiness_regained` | info | `condition`, `lasted`, `ready`, `version` | the process is ready again after `lasted` |
//! | `readiness` | info | `condition`, `ready`, `version` | the readiness or the condition of the process changed otherwise |
//! | `refusals_began` | info, warn | `dry_run`, `reason`, `scope` | a gate refuses the first request for this reason |
//! | `refusals_ended` | info | `dry_run`, `reason`, `scope` | it no longer does |
//! | `refusals_go_on` | info | `dry_run`, `reason`, `scope` | it still does |
//! | `reload_began` | info | `version` | a reload begins |
//! | `reload_ended` | info | `version` | the last reload ends |
//! | `report_damped` | debug | `progress`, `reason`, `state`, `subsystem`, `version` | a report does not count yet |
//! | `request_refused` | debug | `dry_run`, `method`, `path`, `reason`, `scope` | a gate refuses a request |
//! | `resumed` | info | `version` | the last pause ends |
//! | `scope_readiness_lost` | warn | `causes`, `condition`, `scope`, `version` | the same for a named scope |
//! | `scope_readiness_regained` | info | `condition`, `lasted`, `ready`, `scope`, `version` | the same for a named scope |
//! | `start_waits` | info | `version` | the process has not started after 10 s, 30 s, and then each minute |
//! | `stop_timeout_short` | warn | `timeout`, `total` | under systemd, the drain may take `total` seconds, and [`TimeoutStopSec`](crate::notify::systemd::SystemdOptions::stop_timeout) is `timeout` |
//! | `subsystem_added` | debug | `subsystem`, `version` | a subsystem was added while the process runs |
//! | `subsystem_dead` | error | `from`, `reason`, `subsystem`, `to`, `version` | it is dead |
//! | `subsystem_degraded` | warn | `from`, `reason`, `subsystem`, `to`, `version` | it is degraded |
//! | `subsystem_failing` | warn | `from`, `reason`, `subsystem`, `to`, `version` | it fails or is stale |
//! | `subsystem_ready` | info | `from`, `subsystem`, `to`, `version` | it is ready |
//! | `subsystem_reason` | debug | `reason`, `state`, `subsystem`, `version` | only the reason changed |
//! | `subsystem_retired` | info | `subsystem`, `version` | a subsystem retired |
//! | `subsystem_starting` | debug | `from`, `reason`, `subsystem`, `to`, `version` | the subsystem starts |
//! | `systemd_failed` | warn | `error` | systemd cannot be notified |
//! | `termination_message_failed` | warn | `error`, `path` | the termination message cannot be written |
//!
//! `version` is the version of the snapshot: probes, the history and the termination
//! message name the same. `reason` is absent if the reporter gave none, and `scope` is
//! absent for the process as a whole.
//!
//! # The end of a drain
//!
//! Each drain ends in one line, a warning if `late` or `cut_off` is above zero:
//!
//! ```text
//! INFO drained in 6.2 s: 812 served, 0 late, 0 cut off
//! ```
//!
//! - `seconds`: from the beginning of the drain until the process is
//!   [closed](crate::Phase::Closed).
//! - `served`: the requests and [jobs](crate::Readiness::track) that were in flight when
//!   the drain began, and the requests that a layer of the process admitted since, without
//!   those cut off.
//! - `late`: the [late arrivals](crate::Readiness::late_arrivals): requests admitted in the
//!   last fifth of the delay or after it, which a load balancer should have sent elsewhere.
//! - `cut_off`: the requests and jobs in flight when the process was closed, because the
//!   [cap](crate::drain::ShutdownBuilder::closing_cap) was over or the program closed it.
//!   Absent if no layer [counts](crate::Readiness::in_flight) requests.
//!
//! # The plan of the drain
//!
//! `drain_plan` says at the start how much time the process needs at its end. Compare it
//! with `terminationGracePeriodSeconds` or `TimeoutStopSec`: if these are shorter, SIGKILL
//! comes before the end of the drain. `/statusz` shows the plan too. Neither Kubernetes nor systemd
//! passes its value to the process. Under systemd, the program can pass it to `stop_timeout` of
//! [`SystemdOptions`](crate::notify::systemd::SystemdOptions), and a warning is logged if it is
//! too short; `extend_stop` extends a timeout that is too short.

//! Mirrors: who is told how the process is, instead of asking.
//!
//! Each is a task that reads the newest snapshot and says what has changed
//! since it spoke last. A mirror that is slow or broken holds up no report, and
//! what it tells is never older than what it has told before.

pub mod systemd;

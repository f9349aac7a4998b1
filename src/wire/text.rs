//! The beginnings of lines in the text of a probe. The probes write them, and the
//! client recognises them.

/// Begins the line of a subsystem that is up, or of a scope that is ready.
pub(crate) const UP: &str = "[+]";

/// Begins the line of a subsystem that is down, or of a scope that is not ready.
pub(crate) const DOWN: &str = "[-]";

/// Begins the line on failures while ready, which follows the list of subsystems.
pub(crate) const DRIFT: &str = "drift: ";

/// Begins the line of a transition, which follows the list of subsystems.
pub(crate) const TRANSITION: &str = "[>]";

/// Begins the line on the planned end of the process, which follows the list of
/// subsystems.
pub(crate) const PLAN: &str = "plan: ";

/// Begins the line on an excluded name that no subsystem has.
pub(crate) const UNKNOWN: &str = "no subsystem to exclude: ";

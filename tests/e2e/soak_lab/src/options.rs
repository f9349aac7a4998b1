//! The arguments, which `tests/e2e/soak` passes on.

use crate::Error;
use std::{str::FromStr, time::Duration};

/// The part of the program that runs in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Drive,
    Serve,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) time: Duration,
    pub(crate) fault: Option<Fault>,
    /// Whether the cgroup of the server is suspended.
    pub(crate) cgroup: bool,
    /// Whether the wall clock of the server jumps.
    pub(crate) clock: bool,
}

/// A fault that the server is given, to see that the comparison finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A task that never ends.
    Task,
    /// A file that stays open.
    Descriptor,
    /// A job that stays in flight.
    Guard,
    /// A request that is held for ever.
    Waiter,
    /// 64 KiB that nothing frees.
    Heap,
    /// A subscriber that is not woken.
    Wakeup,
    /// Refusals whose reason no version has.
    Refusal,
}

impl Fault {
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("task", Self::Task),
        ("descriptor", Self::Descriptor),
        ("guard", Self::Guard),
        ("waiter", Self::Waiter),
        ("heap", Self::Heap),
        ("wakeup", Self::Wakeup),
        ("refusal", Self::Refusal),
    ];

    pub(crate) fn name(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(_, fault)| *fault == self);
        entry.map_or("", |(name, _)| name)
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let entry = Self::ALL.iter().find(|(name, _)| *name == text);
        entry
            .map(|(_, fault)| *fault)
            .ok_or_else(|| format!("--break has no fault {text}").into())
    }
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut options = Self {
            mode: Mode::Drive,
            time: Duration::from_secs(60),
            fault: None,
            cgroup: true,
            clock: true,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = || format!("{argument} needs a value; see --help");
                arguments.next().ok_or_else(missing)
            };
            match &*argument {
                "--seconds" => options.time = Duration::from_secs(value()?.parse()?),
                "--break" => options.fault = Some(value()?.parse()?),
                "--no-cgroup" => options.cgroup = false,
                "--no-clock" => options.clock = false,
                "--serve" => options.mode = Mode::Serve,
                _ => return Err(format!("there is no option {argument}; see --help").into()),
            }
        }
        Ok(options)
    }
}

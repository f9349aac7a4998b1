//! The figures of a server at rest.

use crate::Error;
use std::{fmt, str::FromStr};

/// By how much the live heap may differ, in percent.
const HEAP_TOLERANCE: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The tasks of the runtime.
    pub(crate) tasks: usize,
    /// The requests that gates hold.
    pub(crate) waiting: usize,
    pub(crate) in_flight: usize,
    pub(crate) descriptors: usize,
    /// The bytes that are allocated.
    pub(crate) heap: usize,
}

impl Measure {
    /// Whether all is as it was in `before`.
    pub(crate) fn is_at_rest(&self, before: &Self) -> bool {
        self.differences(before).is_empty()
    }

    /// How much the heap grew since `before`, in percent.
    pub(crate) fn growth(&self, before: &Self) -> f64 {
        let difference = self.heap as f64 - before.heap as f64;
        difference / before.heap as f64 * 100.0
    }

    /// The figures that differ from those in `before`.
    pub(crate) fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |name: &str, before: usize, after: usize| {
            if before != after {
                found.push(format!("{name}: {before} before, {after} after"));
            }
        };
        compare("tasks", before.tasks, self.tasks);
        compare("requests held", 0, self.waiting);
        compare("requests in flight", 0, self.in_flight);
        compare("descriptors", before.descriptors, self.descriptors);
        let growth = self.growth(before);
        if growth.abs() > HEAP_TOLERANCE {
            found.push(format!(
                "live heap: {} bytes before, {} after, {growth:+.2} %",
                before.heap, self.heap
            ));
        }
        found
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            waiting,
            in_flight,
            descriptors,
            heap,
        } = self;
        write!(f, "{tasks} {waiting} {in_flight} {descriptors} {heap}")
    }
}

impl FromStr for Measure {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        let numbers: Result<Vec<usize>, _> = line.split_whitespace().map(str::parse).collect();
        match numbers?[..] {
            [tasks, waiting, in_flight, descriptors, heap] => Ok(Self {
                tasks,
                waiting,
                in_flight,
                descriptors,
                heap,
            }),
            _ => Err(format!("a measure has five numbers, not {line:?}").into()),
        }
    }
}

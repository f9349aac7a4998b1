use crate::{
    registry::Registry,
    state::{Data, ScopeId},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows, from 0 at the start of the process. Its name ends in
    /// `_total`.
    Counter,
    /// The number of measurements and their sum, without buckets.
    Histogram,
    /// The constant 1, whose labels are the information. Its name ends in `_info`.
    Info,
}

/// A metric: its description, and a sample for each combination of its labels.
#[derive(Clone, Debug)]
pub struct Family {
    pub(super) descriptor: &'static Descriptor,
    pub(super) samples: Vec<Sample>,
}

/// The description of a family, and the function that reads its samples.
#[derive(Debug)]
pub(super) struct Descriptor {
    /// The full name, with the suffixes of its unit and its kind.
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Source<'_>, &mut Samples),
}

impl Family {
    /// Returns the name, as Prometheus shows it.
    pub fn name(&self) -> &'static str {
        self.descriptor.name
    }

    /// Returns the kind.
    pub fn kind(&self) -> MetricKind {
        self.descriptor.kind
    }

    /// Returns the unit, `seconds`, or `None` for a number without a unit.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name();
        let name = name.strip_suffix("_total").unwrap_or(name);
        name.ends_with("_seconds").then_some("seconds")
    }

    /// Returns what the metric means, in one sentence or several.
    pub fn help(&self) -> &'static str {
        self.descriptor.help
    }

    /// Returns the names of the labels that each sample has.
    pub fn labels(&self) -> &'static [&'static str] {
        self.descriptor.labels
    }

    /// Returns the samples. There are none while the process does not measure this
    /// metric, such as the requests in flight without a layer that counts them.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

/// A value, and its labels.
#[derive(Clone, Debug)]
pub struct Sample {
    keys: &'static [&'static str],
    labels: Vec<LabelValue>,
    value: SampleValue,
}

/// The value of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SampleValue {
    /// A whole number.
    Integer(u64),
    /// A number in the unit of the family.
    Float(f64),
    /// The number of measurements, and their sum in the unit of the family.
    Histogram {
        /// The number of measurements.
        count: u64,
        /// The sum of the measurements.
        sum: f64,
    },
}

impl Sample {
    /// Returns the names of the labels and their values, in the order of
    /// [`Family::labels`].
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = self.labels.iter().map(LabelValue::as_str);
        self.keys.iter().copied().zip(values)
    }

    /// Returns the value.
    pub fn value(&self) -> SampleValue {
        self.value
    }
}

/// The value of a label: a word, or the name of a scope or a subsystem.
#[derive(Clone, Debug)]
pub(super) enum LabelValue {
    Word(&'static str),
    Name(Arc<str>),
}

impl LabelValue {
    fn as_str(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Name(name) => name,
        }
    }
}

impl From<&'static str> for LabelValue {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<&Arc<str>> for LabelValue {
    fn from(name: &Arc<str>) -> Self {
        Self::Name(Arc::clone(name))
    }
}

/// Collects the samples of one family.
pub(super) struct Samples {
    pub(super) keys: &'static [&'static str],
    pub(super) all: Vec<Sample>,
}

impl Samples {
    /// Adds a sample, with a value for each label of the family.
    fn add<const N: usize>(&mut self, labels: [LabelValue; N], value: SampleValue) {
        debug_assert_eq!(self.keys.len(), N);
        self.all.push(Sample {
            keys: self.keys,
            labels: labels.into(),
            value,
        });
    }

    pub(super) fn add_count<const N: usize>(&mut self, labels: [LabelValue; N], count: u64) {
        self.add(labels, SampleValue::Integer(count));
    }

    pub(super) fn add_time<const N: usize>(&mut self, labels: [LabelValue; N], time: Duration) {
        self.add(labels, SampleValue::Float(time.as_secs_f64()));
    }

    /// Adds the number of measurements and their sum.
    pub(super) fn add_times<const N: usize>(
        &mut self,
        labels: [LabelValue; N],
        (count, sum): (u64, Duration),
    ) {
        let sum = sum.as_secs_f64();
        self.add(labels, SampleValue::Histogram { count, sum });
    }

    /// Adds 1 for the value of a state that holds now, and 0 for any other.
    pub(super) fn add_flag<const N: usize>(&mut self, labels: [LabelValue; N], is: bool) {
        self.add_count(labels, is.into());
    }
}

/// The inputs of all families at one moment.
pub(super) struct Source<'a> {
    pub(super) registry: &'a Registry,
    pub(super) data: &'a Data,
    pub(super) now: Instant,
}

impl Source<'_> {
    /// All scopes with their names, the process first.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (ScopeId, LabelValue)> {
        self.data.scope_ids().map(|scope| {
            let name = self.data.scope_name(scope);
            (scope, name.map_or("readiness".into(), LabelValue::from))
        })
    }
}

//! The families as a collector of the crate `prometheus-client`.

use super::{
    family::{Family, MetricKind, Sample, SampleValue},
    list::families,
};
use crate::registry::{Readiness, Registry};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use std::{fmt, sync::Arc};

impl Readiness {
    /// Adds all metrics to an application's own registry of the crate
    /// `prometheus-client`, version 0.26, which then shows them with its own. The
    /// values are read when that registry is encoded.
    ///
    /// The other registry keeps the counters alive, and no task of this one.
    ///
    /// ```
    /// # use tower_readiness::{Readiness, Subsystem};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// use prometheus_client::{encoding::text::encode, registry::Registry};
    ///
    /// let mut registry = Registry::default();
    /// readiness.register_metrics(&mut registry);
    ///
    /// let mut body = String::new();
    /// encode(&mut body, &registry)?;
    /// assert!(body.contains("readiness_subsystem_state{subsystem=\"storage\",state=\"ready\"} 0"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register_collector(Box::new(Families::of(self.registry())));
    }
}

/// Writes the families at each scrape.
pub(super) struct Families(Arc<Registry>);

impl Families {
    pub(super) fn of(registry: &Arc<Registry>) -> Self {
        Self(Arc::clone(registry))
    }
}

crate::debug::fields!(Families);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in families(&self.0) {
            if !family.samples().is_empty() {
                encode(&family, &mut encoder)?;
            }
        }
        Ok(())
    }
}

fn encode(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind() {
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Histogram => MetricType::Histogram,
        MetricKind::Info => MetricType::Info,
    };
    let unit = family.unit().map(|_seconds| Unit::Seconds);
    let mut encoder =
        encoder.encode_descriptor(base_name(family), family.help(), unit.as_ref(), kind)?;
    for sample in family.samples() {
        encode_sample(family.kind(), sample, &mut encoder)?;
    }
    Ok(())
}

fn encode_sample(
    kind: MetricKind,
    sample: &Sample,
    encoder: &mut MetricEncoder<'_>,
) -> fmt::Result {
    let labels: Vec<_> = sample.labels().collect();
    if kind == MetricKind::Info {
        return encoder.encode_info(&labels);
    }
    let mut encoder = encoder.encode_family(&labels)?;
    match (kind, sample.value()) {
        (_, SampleValue::Histogram { count, sum }) => {
            let buckets = [(f64::INFINITY, count)];
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
        (MetricKind::Counter, SampleValue::Integer(value)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
        }
        (MetricKind::Counter, SampleValue::Float(value)) => {
            encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
        }
        (_, SampleValue::Integer(value)) => encoder.encode_gauge(&value),
        (_, SampleValue::Float(value)) => encoder.encode_gauge(&value),
    }
}

/// The name without the suffixes of kind and unit, which the encoder adds.
fn base_name(family: &Family) -> &'static str {
    let name = family.name();
    let of_kind = name.strip_suffix("_total").or(name.strip_suffix("_info"));
    let name = of_kind.unwrap_or(name);
    name.strip_suffix("_seconds").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{
        super::family::{Descriptor, Samples},
        *,
    };
    use prometheus_client::encoding::{prometheus_text, text};

    /// A family of one sample.
    #[derive(Debug)]
    struct One(&'static Descriptor, &'static str);

    impl Collector for One {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let Self(descriptor, label) = *self;
            let mut samples = Samples {
                keys: descriptor.labels,
                all: Vec::new(),
            };
            samples.add_count([label.into()], 1);
            let samples = samples.all;
            encode(
                &Family {
                    descriptor,
                    samples,
                },
                &mut encoder,
            )
        }
    }

    /// Names of subsystems need no escape, and reasons are no labels. A label that needs
    /// one must still not end its line.
    #[test]
    fn both_forms_escape_the_values_of_labels() {
        static DESCRIPTOR: Descriptor = Descriptor {
            name: "readiness_test",
            kind: MetricKind::Gauge,
            labels: &["label"],
            help: "A test.",
            read: |_, _| {},
        };
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(One(&DESCRIPTOR, "a\"b\\c\nd\u{202e}é")));
        let [mut plain, mut open_metrics] = [String::new(), String::new()];
        prometheus_text::encode(&mut plain, &registry).unwrap();
        text::encode(&mut open_metrics, &registry).unwrap();
        let line = "readiness_test{label=\"a\\\"b\\\\c\\nd\u{202e}é\"} 1";
        for body in [plain, open_metrics] {
            assert!(body.lines().any(|it| it == line), "{body}");
        }
    }
}

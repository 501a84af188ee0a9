//! What is read when somebody asks, in contrast to what is counted as it happens: rows that are made anew each time, so
//! that none outlives what it speaks of.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::names::{self, Kind, Metric};

/// Name and value of each label of a row.
pub type Labels = Vec<(&'static str, String)>;

/// The value of a row.
#[derive(Debug)]
pub enum Value {
    /// A whole number.
    Int(u64),
    /// Any other.
    Float(f64),
    /// A distribution.
    Histogram(Histogram),
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Int(u64::from(is))
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Int(n as u64)
    }
}

#[derive(Debug)]
struct Group {
    metric: Metric,
    rows: Vec<(Labels, Value)>,
    dropped: usize,
}

/// Everything that was read, metric by metric.
#[derive(Debug)]
pub struct Rows {
    limit: usize,
    groups: Vec<Group>,
}

impl Rows {
    /// With at most `limit` rows per metric.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            groups: Vec::new(),
        }
    }

    /// Adds a row; beyond the limit it is counted instead. Rows of one metric may come in any order among others.
    pub fn add(&mut self, metric: Metric, labels: Labels, value: impl Into<Value>) {
        let limit = self.limit;
        let group = self.group(metric);
        if group.rows.len() < limit {
            group.rows.push((labels, value.into()));
        } else {
            group.dropped += 1;
        }
    }

    /// Adds a metric that has one row without labels.
    pub fn one(&mut self, metric: Metric, value: impl Into<Value>) {
        self.add(metric, Vec::new(), value);
    }

    /// Says what was left out.
    #[must_use]
    pub fn finished(mut self) -> Self {
        let dropped: Vec<_> = self
            .groups
            .iter()
            .filter(|group| group.dropped > 0)
            .map(|group| (group.metric.name, group.dropped))
            .collect();
        for (name, count) in dropped {
            // One row per metric at most: their number is that of the metrics.
            let row = (vec![("metric", name.to_owned())], count.into());
            self.group(names::SERIES_DROPPED).rows.push(row);
        }
        self
    }

    fn group(&mut self, metric: Metric) -> &mut Group {
        let place = self.groups.iter().position(|group| group.metric == metric);
        let place = place.unwrap_or_else(|| {
            self.groups.push(Group {
                metric,
                rows: Vec::new(),
                dropped: 0,
            });
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }
}

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Group { metric, rows, .. } in &self.groups {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let help = format!("{}.", metric.help);
            let mut family = encoder.encode_descriptor(metric.family(), &help, None, kind)?;
            for (labels, value) in rows {
                if labels.is_empty() {
                    // Its last row, too: there is one without labels only.
                    return_row(metric.kind, value, family)?;
                    break;
                }
                return_row(metric.kind, value, family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

fn return_row(kind: Kind, value: &Value, row: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
    match (kind, value) {
        (_, Value::Histogram(histogram)) => histogram.encode(row),
        (Kind::Counter, Value::Int(n)) => ConstCounter::new(*n).encode(row),
        (Kind::Counter, Value::Float(n)) => ConstCounter::new(*n).encode(row),
        (_, Value::Int(n)) => ConstGauge::new(*n).encode(row),
        (_, Value::Float(n)) => ConstGauge::new(*n).encode(row),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn text(rows: Rows) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(rows.finished()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn rows_beyond_the_limit_are_left_out_and_their_number_is_told() {
        let mut rows = Rows::new(2);
        for token in ["a", "b", "c", "d"] {
            rows.add(names::TOKEN_READY, vec![("token", token.to_owned())], true);
        }
        rows.one(names::LOG_SIZE, 7_usize);
        let text = text(rows);
        assert_eq!(text.matches("sealwright_token_ready{").count(), 2, "{text}");
        let dropped = "sealwright_metrics_series_dropped{metric=\"sealwright_token_ready\"} 2\n";
        assert!(text.contains(dropped), "{text}");
        assert!(text.contains("\nsealwright_log_size 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_metric_is_described_once_however_its_rows_come() {
        let mut rows = Rows::new(8);
        for token in ["a", "b"] {
            let label = || vec![("token", token.to_owned())];
            rows.add(names::TOKEN_READY, label(), true);
            rows.add(names::TOKEN_FAILURES, label(), 3_usize);
        }
        let text = text(rows);
        assert_eq!(text.matches("# TYPE ").count(), 2, "{text}");
        assert!(
            text.contains("sealwright_token_failures_total{token=\"b\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut rows = Rows::new(8);
        rows.add(names::FROZEN, vec![("scope", "a\"} 1\nb".to_owned())], true);
        let text = text(rows);
        assert!(text.contains("{scope=\"a\\\"} 1\\nb\"} 1\n"), "{text}");
    }
}

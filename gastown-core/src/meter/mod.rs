//! What is counted and measured of a town, for whoever watches it.
//!
//! A town keeps its own counts, which `upkeep.metrics` reads; the `metrics` facade is told of each of them as well, for the
//! recorder that the host installed, if any. The names are in one [table](table::METRICS).

pub(crate) mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use table::{Metric, MetricKind};

/// The bounds of every histogram in seconds: from a commit to the life of a bead.
const BOUNDS: [f64; 20] = [
    0.000_1,
    0.000_5,
    0.001,
    0.005,
    0.01,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    10_800.0,
    43_200.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];
/// The most sets of labels of one metric; what comes beyond is counted as `other`.
const SERIES_MAX: usize = 500;

/// One metric with one set of labels, as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricValue {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The count or the state; none of a histogram.
    pub value: Option<f64>,
    /// How many were measured, of a histogram.
    pub count: Option<u64>,
    /// The sum of what was measured, in seconds.
    pub sum: Option<f64>,
    /// How many of them were no longer than each bound; empty unless of a histogram.
    pub buckets: Vec<MetricBucket>,
}

/// How many were no longer than a bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricBucket {
    /// The bound in seconds.
    pub upto: f64,
    /// How many.
    pub count: u64,
}

/// Something that was counted or measured.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    metric: &'static Metric,
    labels: Vec<String>,
    value: f64,
}

impl Noted {
    pub(crate) fn new(metric: &'static Metric, labels: &[&str], value: f64) -> Self {
        Self { metric, labels: labels.iter().map(|&label| label.to_owned()).collect(), value }
    }
}

/// What a command noted, which counts once it is committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Noted>>>);

impl Notes {
    /// Forgets what an earlier run of the command noted.
    pub(crate) fn clear(&self) {
        self.all().clear();
    }

    pub(crate) fn add(&self, noted: Noted) {
        self.all().push(noted);
    }

    fn all(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long something takes, in real time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "what is measured decides nothing")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// A length of the town's time in seconds.
pub(crate) fn seconds(length: Duration) -> f64 {
    length.as_secs_f64()
}

#[derive(Clone, Debug, Default)]
struct Series {
    value: f64,
    count: u64,
    /// How many were in each of the intervals that end at the bounds.
    upto: [u64; BOUNDS.len()],
}

/// A metric's kind, the names of its labels, and each set of them that there was.
type Sets = (MetricKind, &'static [&'static str], BTreeMap<Vec<String>, Series>);

/// The counts of one town.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    series: Mutex<BTreeMap<&'static str, Sets>>,
}

impl Meters {
    /// Nothing counted yet; the facade's recorder learns what each metric means.
    pub(crate) fn new() -> Self {
        static DESCRIBED: Once = Once::new();
        DESCRIBED.call_once(describe);
        Self::default()
    }

    /// Counts one more.
    pub(crate) fn count(&self, metric: &'static Metric, labels: &[&str]) {
        self.note(Noted::new(metric, labels, 1.0));
    }

    /// Says how it stands.
    pub(crate) fn set(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.note(Noted::new(metric, labels, value));
    }

    /// Adds a length in seconds.
    pub(crate) fn measure(&self, metric: &'static Metric, labels: &[&str], seconds: f64) {
        self.note(Noted::new(metric, labels, seconds));
    }

    /// Takes what a command noted, now that it is committed.
    pub(crate) fn take(&self, notes: &Notes) {
        let all = std::mem::take(&mut *notes.all());
        self.note_all(all);
    }

    pub(crate) fn note_all(&self, all: Vec<Noted>) {
        for noted in all {
            self.note(noted);
        }
    }

    pub(crate) fn note(&self, noted: Noted) {
        let Noted { metric, mut labels, value } = noted;
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        {
            let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            let (.., series) = all.entry(metric.name).or_insert((metric.kind, metric.labels, BTreeMap::new()));
            if series.len() >= SERIES_MAX && !series.contains_key(&labels) {
                for label in &mut labels {
                    "other".clone_into(label);
                }
            }
            let one = series.entry(labels.clone()).or_default();
            match metric.kind {
                MetricKind::Counter => one.value += value,
                MetricKind::Gauge => one.value = value,
                MetricKind::Histogram => {
                    one.count += 1;
                    one.value += value;
                    if let Some(upto) = BOUNDS.iter().position(|bound| value <= *bound) {
                        one.upto[upto] += 1;
                    }
                }
            }
        }
        tell(metric, labels, value);
    }

    /// Everything, by name and labels.
    pub(crate) fn values(&self) -> Vec<MetricValue> {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, (kind, names, series)): (&&str, &Sets)| {
            let value = |(labels, one): (&Vec<String>, &Series)| {
                let is_histogram = *kind == MetricKind::Histogram;
                let mut below = 0;
                let buckets = BOUNDS.iter().zip(one.upto).filter(|_| is_histogram).map(|(upto, count)| {
                    below += count;
                    MetricBucket { upto: *upto, count: below }
                });
                MetricValue {
                    name: (*name).to_owned(),
                    kind: *kind,
                    labels: names.iter().map(|name| (*name).to_owned()).zip(labels.iter().cloned()).collect(),
                    value: (!is_histogram).then_some(one.value),
                    count: is_histogram.then_some(one.count),
                    sum: is_histogram.then_some(one.value),
                    buckets: buckets.collect(),
                }
            };
            series.iter().map(value).collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    }
}

/// Every metric of the library, as `upkeep.metrics` and the recorder of the host have them.
pub fn metrics() -> &'static [&'static Metric] {
    table::METRICS
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new("gastown", metrics::Level::INFO, Some("gastown_core"));

/// Tells the recorder of the host.
fn tell(metric: &'static Metric, labels: Vec<String>, value: f64) {
    metrics::with_recorder(|recorder| {
        let labels: Vec<_> =
            metric.labels.iter().zip(labels).map(|(name, label)| metrics::Label::new(*name, label)).collect();
        let key = metrics::Key::from_parts(metric.name, labels);
        match metric.kind {
            MetricKind::Counter => recorder.register_counter(&key, &METADATA).increment(1),
            MetricKind::Gauge => recorder.register_gauge(&key, &METADATA).set(value),
            MetricKind::Histogram => recorder.register_histogram(&key, &METADATA).record(value),
        }
    });
}

/// Tells the recorder of the host what each metric means.
fn describe() {
    for metric in table::METRICS {
        let (name, meaning) = (metric.name, metric.meaning);
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(name, metrics::Unit::Count, meaning),
            MetricKind::Gauge => metrics::describe_gauge!(name, metrics::Unit::Count, meaning),
            MetricKind::Histogram => metrics::describe_histogram!(name, metrics::Unit::Seconds, meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::table::{COMMANDS, EFFECT_DURATION, METRICS, RULES_FIRED, SYMBOLS, WRITE_QUEUE};
    use super::*;

    fn of(meters: &Meters, name: &str) -> Vec<MetricValue> {
        meters.values().into_iter().filter(|value| value.name == name).collect()
    }

    #[test]
    fn counts_grow_states_are_replaced_and_lengths_are_sorted_by_their_bounds() {
        let meters = Meters::new();
        for outcome in ["ok", "conflict", "ok"] {
            meters.count(&COMMANDS, &["beads.create", outcome]);
        }
        let found: Vec<_> =
            of(&meters, COMMANDS.name).into_iter().map(|it| (it.labels["outcome"].clone(), it.value)).collect();
        assert_eq!(found, [("conflict".to_owned(), Some(1.0)), ("ok".to_owned(), Some(2.0))]);
        meters.set(&WRITE_QUEUE, &[], 7.0);
        meters.set(&WRITE_QUEUE, &[], 2.0);
        assert_eq!(of(&meters, WRITE_QUEUE.name)[0].value, Some(2.0));
        for seconds in [0.000_05, 0.3, 0.5, 1e9] {
            meters.measure(&EFFECT_DURATION, &["start"], seconds);
        }
        let [found] = &of(&meters, EFFECT_DURATION.name)[..] else { panic!("one set of labels") };
        assert_eq!((found.count, found.value, found.buckets.len()), (Some(4), None, BOUNDS.len()));
        let upto = |bound: f64| found.buckets.iter().find(|bucket| bucket.upto >= bound).unwrap().count;
        assert_eq!(
            (upto(0.000_1), upto(0.1), upto(0.5), upto(86_400.0)),
            (1, 1, 3, 3),
            "the last is beyond every bound"
        );
    }

    #[test]
    fn what_an_undone_run_noted_does_not_count_and_neither_do_ever_more_labels() {
        let (meters, notes) = (Meters::new(), Notes::default());
        notes.add(Noted::new(&RULES_FIRED, &["bead.woken"], 1.0));
        notes.clear();
        notes.add(Noted::new(&RULES_FIRED, &["session.planned"], 1.0));
        meters.take(&notes);
        meters.take(&notes);
        assert_eq!(of(&meters, RULES_FIRED.name).len(), 1);
        for n in 0..SERIES_MAX * 2 {
            meters.count(&RULES_FIRED, &[&format!("event.{n}")]);
        }
        let found = of(&meters, RULES_FIRED.name);
        assert!(found.len() <= SERIES_MAX + 1, "{}", found.len());
        let other = found.iter().find(|it| it.labels["event"] == "other").and_then(|it| it.value);
        assert!(other.is_some_and(|count| count > 400.0), "{other:?}");
    }

    #[test]
    fn names_say_their_kind_and_unit_and_are_in_order() {
        let place = |metric: &&Metric| (metric.kind.as_str(), metric.name);
        assert!(METRICS.iter().is_sorted_by_key(|metric| place(metric).0));
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("gastown_") && metric.meaning.ends_with('.'), "{metric:?}");
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{metric:?}");
            assert_eq!(metric.name.ends_with("_seconds"), metric.kind == MetricKind::Histogram, "{metric:?}");
        }
    }

    #[test]
    fn every_metric_is_told_by_something() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut text = String::new();
        let mut folders = vec![source];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("meter") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        for symbol in SYMBOLS {
            assert!(text.contains(&format!("table::{symbol}")), "nothing tells {symbol}");
        }
    }
}

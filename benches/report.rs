//! The table of ratios.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::measure::{Figures, Turn, middle};
use crate::options::Options;

/// What a case compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The middle time of an operation: ours divided by theirs; less is better.
    Time,
    /// The slow end of the times of an operation (99 of 100): ours divided by theirs; less is better.
    Slowest,
    /// Operations in a second: ours divided by theirs; more is better.
    Rate,
}

impl Goal {
    fn of(self, turn: &Turn) -> f64 {
        match self {
            Self::Time => turn.quantile(0.5).as_secs_f64(),
            Self::Slowest => turn.quantile(0.99).as_secs_f64(),
            Self::Rate => turn.rate(),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Time => "of its time",
            Self::Slowest => "of its p99",
            Self::Rate => "of its rate",
        }
    }
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Wanted {
    fn is_met(self, found: f64) -> bool {
        match self {
            Self::AtMost(most) => found <= most,
            Self::AtLeast(least) => found >= least,
        }
    }

    fn to_json(self) -> Json {
        match self {
            Self::AtMost(most) => json!({ "at_most": most }),
            Self::AtLeast(least) => json!({ "at_least": least }),
        }
    }

    fn from_json(json: &Json) -> Self {
        let least = json["at_least"].as_f64().map(Self::AtLeast);
        least.unwrap_or_else(|| Self::AtMost(json["at_most"].as_f64().unwrap_or_default()))
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

/// Collects cases, prints each when it is there, and writes them as JSON at the end.
#[derive(Debug)]
pub struct Report {
    options: Options,
    bench: &'static str,
    cases: Vec<Json>,
    goals: Vec<(String, f64, Wanted)>,
}

impl Report {
    /// A report of one benchmark.
    pub fn new(bench: &'static str, options: &Options) -> Self {
        if !options.is_inner {
            println!(
                "{bench}: what is first in a case, beside the others; ratios are middles of turns (lowest to highest)"
            );
        }
        Self { options: options.clone(), bench, cases: Vec::new(), goals: Vec::new() }
    }

    /// Prints one case: the first contender beside each other one.
    pub fn case(&mut self, name: &str, goal: Goal, figures: &[Figures]) {
        println!("\n{name:<44} {:>9} {:>9} {:>9} {:>9}", "ops/s", "p50", "p99", "writer");
        let Some(ours) = figures.first() else { return };
        let mut contenders = Vec::new();
        for (place, them) in figures.iter().enumerate() {
            let (rate, p50, p99) = (them.rate(), them.quantile(0.5), them.quantile(0.99));
            let ratios: Vec<f64> =
                ours.turns.iter().zip(&them.turns).map(|(ours, them)| goal.of(ours) / goal.of(them)).collect();
            let ratio = middle(ratios.clone());
            let beside = if place == 0 {
                String::new()
            } else {
                let (low, high) =
                    ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), &one| (low.min(one), high.max(one)));
                format!("{ratio:>8.2} {} ({low:.2} to {high:.2})", goal.words())
            };
            let writer = them.writer_us().map_or_else(String::new, |us| format!("{us:.1} us"));
            println!("  {:<42} {rate:>9.0} {:>9} {:>9} {writer:>9} {beside}", them.name, time(p50), time(p99));
            contenders.push(json!({
                "name": them.name,
                "ops_per_s": rate,
                "p50_us": micros(p50),
                "p99_us": micros(p99),
                "writer_us": them.writer_us(),
                "ratio": ratio,
                "ratios": ratios,
            }));
        }
        let goal = match goal {
            Goal::Time => "time",
            Goal::Slowest => "p99",
            Goal::Rate => "rate",
        };
        self.cases.push(json!({ "bench": self.bench, "case": name, "ratio_of": goal, "contenders": contenders }));
    }

    /// Sets the ratio to one contender of the case before beside its goal, for the table at the end.
    pub fn goal(&mut self, beside: &str, goal: Wanted) {
        let Some(case) = self.cases.last() else { return };
        let contenders = case["contenders"].as_array();
        let found = contenders.into_iter().flatten().find(|them| them["name"] == beside);
        if let Some(ratio) = found.and_then(|them| them["ratio"].as_f64()) {
            self.goals.push((format!("{} / {beside}", case["case"].as_str().unwrap_or_default()), ratio, goal));
        }
    }

    /// Sets a figure beside its goal, for the table at the end.
    pub fn figure(&mut self, name: impl Into<String>, found: f64, goal: Wanted) {
        self.goals.push((name.into(), found, goal));
    }

    /// Takes in what a run in another process found.
    pub fn join(&mut self, cases: Json) {
        let Json::Array(cases) = cases else { return };
        for case in cases {
            match (case["goal"].as_str(), case["found"].as_f64()) {
                (Some(name), Some(found)) => {
                    self.goals.push((name.to_owned(), found, Wanted::from_json(&case["wanted"])));
                }
                _ => self.cases.push(case),
            }
        }
    }

    /// Prints the middle and the slow end of what the case before is made of.
    pub fn parts(&mut self, parts: &[(&str, Vec<Duration>)]) {
        let mut found = Vec::new();
        for (name, times) in parts {
            let turn = Turn { each: times.clone(), ..Turn::default() };
            let (p50, p99) = (turn.quantile(0.5), turn.quantile(0.99));
            println!("    after {:<36} {:>9} {:>9} {:>9}", name, "", time(p50), time(p99));
            found.push(json!({ "name": name, "p50_us": micros(p50), "p99_us": micros(p99) }));
        }
        if let Some(case) = self.cases.last_mut() {
            case["parts"] = Json::Array(found);
        }
    }

    /// Prints the goals, and writes the figures where the options ask for them.
    ///
    /// # Errors
    /// A sentence about the file that cannot be written.
    pub fn finish(mut self) -> Result<(), String> {
        if !self.goals.is_empty() && !self.options.is_inner {
            println!("\n{:<74} {:>8}  goal", "goals", "found");
        }
        for (name, found, wanted) in std::mem::take(&mut self.goals) {
            if !self.options.is_inner {
                let met = if wanted.is_met(found) { "met" } else { "missed" };
                println!("  {name:<72} {found:>8.2}  {wanted} ({met})");
            }
            self.cases.push(json!({ "goal": name, "found": found, "wanted": wanted.to_json() }));
        }
        let Some(path) = &self.options.json else { return Ok(()) };
        std::fs::write(path, format!("{:#}\n", Json::Array(self.cases)))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn time(took: Duration) -> String {
    let micros = micros(took);
    match micros {
        ..1_000.0 => format!("{micros:.0} us"),
        ..100_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}

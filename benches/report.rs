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
    /// Operations in a second: ours divided by theirs; more is better.
    Rate,
}

impl Goal {
    fn of(self, turn: &Turn) -> f64 {
        match self {
            Self::Time => turn.quantile(0.5).as_secs_f64(),
            Self::Rate => turn.rate(),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Time => "of its time",
            Self::Rate => "of its rate",
        }
    }
}

/// Collects cases, prints each when it is there, and writes them as JSON at the end.
#[derive(Debug)]
pub struct Report {
    options: Options,
    bench: &'static str,
    cases: Vec<Json>,
}

impl Report {
    /// A report of one benchmark.
    pub fn new(bench: &'static str, options: &Options) -> Self {
        println!(
            "{bench}: what is first in a case, beside the others; ratios are middles of turns (lowest to highest)"
        );
        Self { options: options.clone(), bench, cases: Vec::new() }
    }

    /// Prints one case: the first contender beside each other one.
    pub fn case(&mut self, name: &str, goal: Goal, figures: &[Figures]) {
        println!("\n{name:<44} {:>9} {:>9} {:>9}", "ops/s", "p50", "p99");
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
            println!("  {:<42} {rate:>9.0} {:>9} {:>9} {beside}", them.name, time(p50), time(p99));
            contenders.push(json!({
                "name": them.name,
                "ops_per_s": rate,
                "p50_us": micros(p50),
                "p99_us": micros(p99),
                "ratio": ratio,
                "ratios": ratios,
            }));
        }
        let goal = if goal == Goal::Time { "time" } else { "rate" };
        self.cases.push(json!({ "bench": self.bench, "case": name, "ratio_of": goal, "contenders": contenders }));
    }

    /// Prints the middle and the slow end of what the case before is made of.
    pub fn parts(&mut self, parts: &[(&str, Vec<Duration>)]) {
        let mut found = Vec::new();
        for (name, times) in parts {
            let turn = Turn { each: times.clone(), all: Duration::ZERO };
            let (p50, p99) = (turn.quantile(0.5), turn.quantile(0.99));
            println!("    after {:<36} {:>9} {:>9} {:>9}", name, "", time(p50), time(p99));
            found.push(json!({ "name": name, "p50_us": micros(p50), "p99_us": micros(p99) }));
        }
        if let Some(case) = self.cases.last_mut() {
            case["parts"] = Json::Array(found);
        }
    }

    /// Writes the figures where the options ask for them.
    ///
    /// # Errors
    /// A sentence about the file that cannot be written.
    pub fn finish(self) -> Result<(), String> {
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

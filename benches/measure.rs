//! Contenders that take turns.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cpu::Threads;

/// What one contender did in one turn.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// How long each operation took.
    pub each: Vec<Duration>,
    /// How long all of them took together.
    pub all: Duration,
    /// How long the processor worked for the writer's thread, where that is known.
    pub writer: Option<Duration>,
}

impl Turn {
    /// Runs `operation` for each number below `count`, one after the other.
    pub fn of(count: usize, mut operation: impl FnMut(usize)) -> Self {
        let begun = Instant::now();
        let each = (0..count)
            .map(|n| {
                let begun = Instant::now();
                operation(n);
                begun.elapsed()
            })
            .collect();
        Self { each, all: begun.elapsed(), writer: None }
    }

    /// Operations in a second.
    pub fn rate(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }

    /// The time that this share of the operations did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        quantile(&mut self.each.clone(), share)
    }

    /// The same, with the processor time of those threads.
    #[must_use]
    pub fn with_writer(self, threads: &Threads, before: Duration) -> Self {
        Self { writer: Some(threads.ran().saturating_sub(before)), ..self }
    }
}

/// Runs `operation` for each number below `count` from `callers` tasks at once.
pub async fn drive<F>(callers: usize, count: usize, operation: impl Fn(usize) -> F + Send + Sync + 'static) -> Turn
where
    F: Future<Output = ()> + Send,
{
    let shared = Arc::new((operation, AtomicUsize::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut each = Vec::new();
                loop {
                    let n = shared.1.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return each;
                    }
                    let begun = Instant::now();
                    (shared.0)(n).await;
                    each.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut each = Vec::with_capacity(count);
    for task in tasks {
        each.extend(task.await.expect("a caller does not panic"));
    }
    Turn { each, all: begun.elapsed(), writer: None }
}

/// Somebody who is measured: a name, and what happens in the turn of that number.
pub struct Contender<'a> {
    name: &'static str,
    turns_max: usize,
    turn: Box<dyn FnMut(usize) -> Turn + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender of this name.
    pub fn new(name: &'static str, turn: impl FnMut(usize) -> Turn + 'a) -> Self {
        Self { name, turns_max: usize::MAX, turn: Box::new(turn) }
    }

    /// The same, who takes part in the first turns only.
    #[must_use]
    pub fn at_most(self, turns_max: usize) -> Self {
        Self { turns_max, ..self }
    }
}

/// All that one contender did.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Who.
    pub name: &'static str,
    /// Each turn.
    pub turns: Vec<Turn>,
}

impl Figures {
    /// Every `step`th turn, from `first` on.
    #[must_use]
    pub fn every(&self, step: usize, first: usize) -> Self {
        Self { name: self.name, turns: self.turns.iter().skip(first).step_by(step).cloned().collect() }
    }

    /// The middle of the turns' rates.
    pub fn rate(&self) -> f64 {
        middle(self.turns.iter().map(Turn::rate).collect())
    }

    /// The processor time of the writer's thread for one operation, in microseconds; none where it is not known.
    pub fn writer_us(&self) -> Option<f64> {
        let turns: Vec<f64> = self
            .turns
            .iter()
            .filter_map(|turn| Some(turn.writer?.as_secs_f64() * 1e6 / turn.each.len() as f64))
            .collect();
        (!turns.is_empty()).then(|| middle(turns))
    }

    /// The time that this share of all operations did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        quantile(&mut self.turns.iter().flat_map(|turn| turn.each.iter().copied()).collect::<Vec<_>>(), share)
    }
}

/// Lets the contenders take `turns` turns each, another one beginning each time.
pub fn interleave(turns: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Figures> {
    let mut figures: Vec<Figures> =
        contenders.iter().map(|contender| Figures { name: contender.name, turns: Vec::new() }).collect();
    for number in 0..turns {
        for place in 0..contenders.len() {
            // The second summand lets the first change also where every third turn is of a kind.
            let which = (place + number + number / contenders.len()) % contenders.len();
            if number < contenders[which].turns_max {
                figures[which].turns.push((contenders[which].turn)(number));
            }
        }
    }
    figures
}

/// The middle of some numbers.
pub(crate) fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a place")]
    let place = (times.len() as f64 * share) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

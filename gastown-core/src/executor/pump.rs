//! The loop: tick, issue, perform, report; asleep until something changes or falls due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::context::Context;
use super::leader::{self, Engine, Led};
use super::look::look as look_at;
use super::orphans;
use super::perform::perform;
use super::sweep::Sweeping;
use super::traced;
use super::watch::{ADOPTED_MAX, Watchers, unwatched};
use crate::engine;
use crate::failpoint;
use crate::meter::{Meters, Noted, Stopwatch, table};
use crate::model::{Error, Result, SessionId, SessionRow, Timestamp};
use crate::work::drain;
use crate::work::effects::{self, Failed, Issued, Report};
use crate::work::leader as lead;
use crate::work::liveness::Due;
use crate::work::observed;
use crate::work::txn::ScopedTxn;

/// How many effects of each kind run at once.
const ROOM: &[(&str, usize)] = &[
    ("start", 8),
    ("stop", 16),
    ("nudge", 8),
    ("notice", 16),
    ("save", 8),
    ("publish", 4),
    ("branch", 4),
    ("merge", 4),
    ("gate", 4),
    ("land", 4),
    ("cleanup", 8),
    ("delete_branch", 4),
];
/// The wait after the first error of the store; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a look counts how the town stands, at the most.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// How often the engine looks for what nobody needs any more outside.
const TEND_EVERY: Duration = Duration::from_secs(3_600);
/// How often the engine looks for what is over for long enough to be archived.
const RETAIN_EVERY: Duration = Duration::from_secs(24 * 3_600);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a stop waits for what is in flight to be recorded.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Whether the engine runs, as `health` shows it.
#[derive(Clone, Debug)]
pub(crate) enum PumpState {
    /// It runs.
    Running,
    /// It was stopped.
    Stopped,
    /// It gave up.
    Failed(Error),
}

/// The running engine of one town in this process.
#[derive(Debug)]
pub(crate) struct Pump {
    stop: CancellationToken,
    state: watch::Receiver<PumpState>,
    task: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Pump {
    /// Takes the leader's lease and starts the loop on the current tokio runtime.
    pub(crate) async fn start(context: Context) -> Result<Self> {
        let Led { epoch, engine, lease } = leader::acquire(&context).await?;
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(PumpState::Running);
        let meters = context.store.meters().clone();
        let ending = Ending { stop: stop.clone(), engine: Some(engine), state: sender, meters };
        let now = context.now();
        let work = Work {
            context,
            epoch,
            lease,
            stop: stop.clone(),
            in_flight: JoinSet::new(),
            room: room(),
            running: HashMap::new(),
            is_unsure: false,
            sweeping: Arc::new(Sweeping::new(now)),
            tend_at: now,
            retain_at: now,
            measure_at: now,
        };
        work.context.store.meters().set(&table::LEADER, &[], 1.0);
        let task = tokio::spawn(run_to_its_end(ending, work));
        Ok(Self { stop, state, task: tokio::sync::Mutex::new(Some(task)) })
    }

    /// Whether it runs.
    pub(crate) fn state(&self) -> PumpState {
        self.state.borrow().clone()
    }

    /// The same as it changes.
    pub(crate) fn states(&self) -> watch::Receiver<PumpState> {
        self.state.clone()
    }

    /// Stops beginning effects, waits a little for those in flight to be reported, and gives the lease back.
    ///
    /// Agents and gates go on; the next engine adopts them.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take() {
            match task.await {
                // A task that was dropped with its runtime has nothing in flight.
                Err(source) if source.is_panic() => return Err(panicked().because(source)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Says how the engine ended, also where its task panics or is dropped with its runtime.
struct Ending {
    stop: CancellationToken,
    engine: Option<Engine>,
    state: watch::Sender<PumpState>,
    meters: Arc<Meters>,
}

impl Ending {
    fn say(&mut self, ended: PumpState) {
        self.stop.cancel();
        self.meters.set(&table::LEADER, &[], 0.0);
        // Whoever reads that it ended may start the next at once, so this one lives no more by then.
        self.engine = None;
        self.state.send_replace(ended);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if matches!(*self.state.borrow(), PumpState::Running) {
            let error = if std::thread::panicking() {
                panicked()
            } else {
                Error::unavailable("engine_dropped", "the runtime that the engine ran on is gone")
            };
            tracing::error!(error = %error.chain(), "the engine stopped");
            self.say(PumpState::Failed(error));
        }
    }
}

fn panicked() -> Error {
    Error::internal("engine_panicked", "the engine panicked")
}

/// Runs the loop to its end; what comes first in the arguments is dropped last.
async fn run_to_its_end(mut ending: Ending, work: Work) {
    let ended = match work.run().await {
        Ok(()) => PumpState::Stopped,
        Err(error) => {
            tracing::error!(error = %error.chain(), "the engine stopped");
            PumpState::Failed(error)
        }
    };
    ending.say(ended);
}

fn room() -> BTreeMap<&'static str, usize> {
    ROOM.iter().copied().collect()
}

/// What one look of the loop found.
struct Look {
    issued: Vec<Issued>,
    /// Sessions whose runtime is to be asked whether they live.
    due: Vec<Due>,
    /// Sessions whose process runs and that nobody here waits for.
    orphans: Vec<SessionRow>,
    next_wake: Option<Timestamp>,
    more: bool,
    /// Whether the lease was renewed.
    renewed: bool,
    /// How the town stands, where that was to be counted.
    standing: Vec<Noted>,
}

/// An effect that a task is busy with.
struct Running {
    issued: Issued,
    /// Whether the task is the one that reports the panic of another.
    is_second: bool,
}

struct Work {
    context: Context,
    epoch: i64,
    /// How long the lease holds without being renewed.
    lease: Duration,
    stop: CancellationToken,
    in_flight: JoinSet<()>,
    room: BTreeMap<&'static str, usize>,
    running: HashMap<task::Id, Running>,
    /// Whether effects may have been begun that it did not hear of, as the answer to a look was lost.
    is_unsure: bool,
    sweeping: Arc<Sweeping>,
    /// When what nobody needs is next looked for.
    tend_at: Timestamp,
    /// When what is over is next archived.
    retain_at: Timestamp,
    /// When it is next counted how the town stands.
    measure_at: Timestamp,
}

impl Work {
    async fn run(mut self) -> Result<()> {
        let mut commits = self.context.store.commits();
        let watchers = Watchers::new(self.context.clone(), self.stop.clone(), Arc::clone(&self.sweeping));
        let mut pause = PAUSE;
        let mut renewed = self.context.now();
        // Those of an earlier engine.
        watchers.seek();
        while !self.stop.is_cancelled() {
            commits.mark_unchanged();
            let began = Stopwatch::start();
            let looked_at = self.context.now();
            let renews = looked_at.since(renewed) >= self.lease / 3;
            let looked = self.look(&watchers, renews).instrument(self.span()).await;
            let outcome = looked.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok");
            self.context.store.meters().count(&table::TICKS, &[outcome]);
            self.context.store.meters().measure(&table::TICK_DURATION, &[], began.seconds());
            let look = match looked {
                Ok(look) => look,
                // Somebody else leads now, or the store was closed: there is nothing left to do here.
                Err(error) if matches!(error.code(), "leader_epoch_stale" | "store_closed") => return Err(error),
                Err(error) => {
                    self.is_unsure = true;
                    watchers.seek();
                    tracing::error!(error = %error.chain(), "the engine could not look; it will try again");
                    if error.kind() != crate::ErrorKind::Unavailable {
                        self.isolate().await;
                    }
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            };
            pause = PAUSE;
            self.is_unsure = false;
            if look.renewed {
                renewed = looked_at;
                // Whatever was missed is found by then.
                watchers.seek();
            }
            self.measured(look.standing);
            for issued in look.issued {
                self.begin(issued);
            }
            let has_more = look.orphans.len() == ADOPTED_MAX;
            for session in look.orphans {
                watchers.watch(session);
            }
            if has_more {
                watchers.seek();
            }
            if !look.due.is_empty() {
                self.in_flight.spawn(look_at(self.context.clone(), look.due));
            }
            self.sweep();
            self.tend();
            self.retain();
            if look.more || has_more {
                continue;
            }
            self.wait(&mut commits, look.next_wake, &watchers).await;
        }
        let drained = tokio::time::timeout(STOP_GRACE, async {
            while let Some(ended) = self.in_flight.join_next_with_id().await {
                self.give_back(ended, &watchers);
            }
        });
        if drained.await.is_err() {
            // They stay issued; the next leader finds out what became of them.
            self.in_flight.shutdown().await;
        }
        let epoch = self.epoch;
        match self.context.step("engine.leader", move |txn| lead::release(txn, epoch)).await {
            Err(error) if error.code() == "store_closed" => Ok(()),
            other => other,
        }
    }

    /// Ticks and begins effects in one transaction.
    async fn look(&self, watchers: &Watchers, renews: bool) -> Result<Look> {
        let (epoch, mut room, watched) = (self.epoch, self.room.clone(), watchers.sought());
        let lease = self.lease;
        let measures = self.context.now() >= self.measure_at;
        let known = self.is_unsure.then(|| {
            let key = |running: &Running| (running.issued.id.clone(), running.issued.attempt);
            self.running.values().map(key).collect::<BTreeSet<_>>()
        });
        for running in self.running.values() {
            if let Some(left) = room.get_mut(running.issued.order.kind()) {
                *left = left.saturating_sub(1);
            }
        }
        self.context
            .step("engine.tick", move |txn| {
                if renews {
                    lead::renew(txn, epoch, lease)?;
                } else {
                    lead::check(txn, epoch)?;
                }
                if let Some(known) = &known {
                    effects::suspect_unheard(txn, epoch, known)?;
                }
                let tick = engine::tick(txn)?;
                txn.note_rules();
                let mut room = room.clone();
                if drain::of(txn.view())?.is_some() {
                    // It would not be over in time, and the next engine runs it from its beginning.
                    room.insert("gate", 0);
                }
                let issued = effects::issue(txn, epoch, &mut room)?;
                let orphans = watched.as_ref().map_or_else(|| Ok(Vec::new()), |watched| unwatched(txn, watched))?;
                let standing = if measures { standing(txn) } else { Vec::new() };
                let engine::Tick { next_wake, due, more } = tick;
                Ok(Look { issued, due, orphans, next_wake, more, renewed: renews, standing })
            })
            .await
    }

    /// Where the events of a tick belong.
    fn span(&self) -> tracing::Span {
        tracing::debug_span!("tick", town = %self.context.store.town(), leader_epoch = self.epoch)
    }

    /// Takes note of how the town stands, where that was counted.
    fn measured(&mut self, standing: Vec<Noted>) {
        if standing.is_empty() {
            return;
        }
        self.measure_at = self.context.now().after(MEASURE_EVERY);
        let meters = self.context.store.meters();
        meters.note_all(standing);
        #[allow(clippy::cast_precision_loss, reason = "the queue has a bound")]
        meters.set(&table::WRITE_QUEUE, &[], self.context.store.queue_depth() as f64);
    }

    /// Looks at what is pending one by one, so that what makes a look fail is found and set aside.
    async fn isolate(&self) {
        let pending = match self.context.read(engine::pending).await {
            Ok(pending) => pending,
            Err(error) => return tracing::error!(error = %error.chain(), "the engine cannot read what is pending"),
        };
        for id in pending {
            let bead = id.clone();
            let Err(error) = self.context.step("engine.tick", move |txn| engine::look_at(txn, &bead)).await else {
                continue;
            };
            let (bead, reason) = (id.clone(), error.chain());
            tracing::error!(bead = %id, reason, "a rule failed; the bead is set aside");
            if let Err(error) =
                self.context.step("engine.tick", move |txn| engine::set_aside(txn, &bead, &reason)).await
            {
                tracing::error!(bead = %id, error = %error.chain(), "a bead could not be set aside");
            }
        }
    }

    fn begin(&mut self, issued: Issued) {
        let (context, epoch, running) = (self.context.clone(), self.epoch, issued.clone());
        let span = traced::effect(self.context.store.town(), &issued);
        let task = self.in_flight.spawn(async move { run_effect(&context, epoch, issued).await }.instrument(span));
        self.running.insert(task.id(), Running { issued: running, is_second: false });
    }

    /// Begins a sweep of the output where one is due.
    fn sweep(&mut self) {
        if self.sweeping.begin(self.context.now()) {
            let (context, sweeping) = (self.context.clone(), Arc::clone(&self.sweeping));
            self.in_flight.spawn(async move {
                sweeping.run(&context.store, context.outside.runtime.as_ref(), &*context.ctx).await;
            });
        }
    }

    /// Has removed what nobody needs any more outside, now and then.
    fn tend(&mut self) {
        let now = self.context.now();
        if now < self.tend_at {
            return;
        }
        self.tend_at = now.after(TEND_EVERY);
        let context = self.context.clone();
        self.in_flight.spawn(async move {
            if let Err(error) = orphans::collect(&context.store, &context.outside, &*context.ctx).await {
                tracing::warn!(error = %error.chain(), "orphans could not be looked for; it will be tried again later");
            }
        });
    }

    /// Has what is over archived, now and then.
    fn retain(&mut self) {
        let now = self.context.now();
        if now < self.retain_at {
            return;
        }
        self.retain_at = now.after(RETAIN_EVERY);
        let retained = (self.context.retain)();
        self.in_flight.spawn(async move {
            if let Err(error) = retained.await {
                tracing::warn!(error = %error.chain(), "nothing was archived; it will be tried again later");
            }
        });
    }

    async fn wait(&mut self, commits: &mut watch::Receiver<u64>, next_wake: Option<Timestamp>, watchers: &Watchers) {
        let now = self.context.now();
        let until_renewal = self.lease / 3;
        let next_wake = next_wake.into_iter().chain(self.sweeping.due_at()).chain([self.tend_at, self.retain_at]).min();
        let until_due = next_wake.map_or(until_renewal, |at| at.since(now)).min(until_renewal);
        // In one order, so that a simulation plays the same again.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            Some(ended) = self.in_flight.join_next_with_id() => self.give_back(ended, watchers),
            changed = commits.changed() => {
                if changed.is_err() {
                    // The store's writer is gone; the next look says so.
                    tokio::task::yield_now().await;
                }
            }
            () = tokio::time::sleep(until_due) => {}
        }
        while let Some(ended) = self.in_flight.try_join_next_with_id() {
            self.give_back(ended, watchers);
        }
    }

    fn give_back(&mut self, ended: std::result::Result<(task::Id, ()), JoinError>, watchers: &Watchers) {
        let (id, error) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some(Running { issued, is_second }) = self.running.remove(&id) else { return };
        if issued.order.kind() == "start" {
            watchers.seek();
        }
        let Some(error) = error else { return };
        tracing::error!(effect = %issued.id, %error, "an effect's task panicked");
        if is_second {
            // It stays begun; the next leader finds out what became of it.
            return;
        }
        let (context, epoch, running) = (self.context.clone(), self.epoch, issued.clone());
        let report = Report::Retry { reason: "its task panicked".to_owned() };
        let span = traced::effect(self.context.store.town(), &issued);
        let task = self.in_flight.spawn(async move { tell(&context, epoch, &issued, report).await }.instrument(span));
        self.running.insert(task.id(), Running { issued: running, is_second: true });
    }
}

/// How the town stands; nothing where that cannot be counted, as the engine must go on.
fn standing(txn: &ScopedTxn<'_>) -> Vec<Noted> {
    observed::standing(txn.view()).unwrap_or_else(|error| {
        tracing::warn!(error = %error.chain(), "how the town stands could not be counted");
        Vec::new()
    })
}

/// Performs or probes one effect and reports what came of it.
async fn run_effect(context: &Context, epoch: i64, issued: Issued) {
    tracing::debug!(effect = %issued.id, order = %issued.order, probe = issued.probe, "effect");
    let began = Stopwatch::start();
    let report = perform(context, &issued).await;
    context.store.meters().measure(&table::EFFECT_DURATION, &[issued.order.kind()], began.seconds());
    tell(context, epoch, &issued, report).await;
}

/// Reports what came of an effect until the store has heard it.
async fn tell(context: &Context, epoch: i64, issued: &Issued, report: Report) {
    context.store.meters().count(&table::EFFECTS, &[issued.order.kind(), report.as_str()]);
    if let Report::Retry { reason } | Report::Refused { reason } | Report::Failed(Failed { reason, .. }) = &report {
        tracing::warn!(effect = %issued.id, order = %issued.order, reason, "effect not done");
    }
    let report = Arc::new(report);
    let (id, attempt) = (issued.id.clone(), issued.attempt);
    let mut pause = PAUSE;
    loop {
        let (id, report) = (id.clone(), Arc::clone(&report));
        let told = context.step("effect.report", move |txn| effects::report(txn, &id, epoch, attempt, &report)).await;
        match told {
            Ok(()) => break,
            Err(error) if error.kind() == crate::ErrorKind::Unavailable && error.code() != "store_closed" => {
                tracing::warn!(error = %error.chain(), "an outcome could not be recorded; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(error) if error.code() == "store_closed" => return,
            Err(error) => {
                tracing::error!(effect = %issued.id, error = %error.chain(), "an outcome could not be recorded");
                return give_up(context, epoch, issued, &error).await;
            }
        }
    }
    match issued.order.kind() {
        "start" => failpoint::pass("start.recorded"),
        "land" => failpoint::pass("land.recorded"),
        _ => {}
    }
}

/// Refuses an effect whose outcome the rules do not take: its consequences are those of a refusal where they can be.
async fn give_up(context: &Context, epoch: i64, issued: &Issued, error: &Error) {
    let reason = format!("its outcome could not be recorded: {}", error.chain());
    let (id, attempt) = (issued.id.clone(), issued.attempt);
    let refusal = Report::Refused { reason: reason.clone() };
    let told = context.step("effect.report", move |txn| effects::report(txn, &id, epoch, attempt, &refusal)).await;
    if told.is_ok() {
        return;
    }
    let id = issued.id.clone();
    if let Err(error) = context.step("effect.report", move |txn| effects::give_up(txn, &id, epoch, &reason)).await {
        // It stays begun; the next leader finds out what became of it.
        tracing::error!(effect = %issued.id, error = %error.chain(), "an effect could not be given up");
    }
}

/// Sessions this process waits for.
pub(super) type Watched = std::collections::BTreeSet<SessionId>;

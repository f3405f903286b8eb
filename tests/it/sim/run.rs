//! One run: processes of the town one after another in one world, until all was asked and everything is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::TownId;
use gastown_core::store::{Access, Backend as _, MemoryBackend};
use gastown_core::{ErrorKind, Town};

use super::agents::Conduct;
use super::chance::{Chance, Fault, Faults, Plan};
use super::script::{Ask, asks};
use super::world::{State, World};

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was wrong; empty when all is well.
    pub(super) wrong: Vec<String>,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) steps: u64,
    pub(super) elapsed: Duration,
    pub(super) journal: Vec<String>,
    pub(super) journal_sum: u64,
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) places: BTreeMap<&'static str, u64>,
    pub(super) struck: BTreeSet<(&'static str, Fault)>,
    pub(super) conducts: BTreeMap<Conduct, u64>,
}

/// The most processes of one run; faults end before.
const PROCESSES_MAX: usize = 200;
/// How long things may go wrong.
const TROUBLE: Duration = Duration::from_secs(8 * 3_600);
/// How long the town has to come to rest behind that.
const CALM: Duration = Duration::from_secs(30 * 86_400);
/// At rest nothing is written for so long.
///
/// Longer than any wait that was begun while the clock was ahead.
const REST: Duration = Duration::from_secs(4 * 3_600);

pub(super) fn play(seed: u64, plan: Plan) -> Outcome {
    let mut chance = Chance::new(seed);
    let asks = asks(&mut chance);
    let world = World::new(chance.next(), Faults::new(plan), MemoryBackend::new());
    let mut asked = 0;
    let mut is_over = false;
    for process in 0..PROCESSES_MAX {
        if process + 1 == PROCESSES_MAX / 2 {
            calm(&world);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        is_over = runtime.block_on(async {
            world.process_begins();
            let life = live(&world, seed.wrapping_add(process as u64), &asks, &mut asked);
            let ended = tokio::select! {
                biased;
                () = world.dies() => false,
                ended = life => ended,
            };
            world.process_ended();
            ended
        });
        // Everything that was under way is gone with it.
        drop(runtime);
        if is_over || world.is_spinning() {
            break;
        }
    }
    let briefs = world.briefs_left().len();
    let journal = journal(world.backend());
    let mut state = world.state();
    let State { watchdog, agents, forge, faults, .. } = &mut *state;
    watchdog.look(world.backend(), agents, forge);
    if is_over {
        watchdog.check_rest(agents, forge, briefs);
    } else if watchdog.wrong.is_empty() {
        watchdog.wrong.push("it does not come to rest".to_owned());
    }
    Outcome {
        wrong: watchdog.wrong.clone(),
        faults: faults.met.clone(),
        steps: faults.steps(),
        journal,
        journal_sum: watchdog.journal_sum(),
        kinds: watchdog.kinds.clone(),
        places: faults.places.clone(),
        struck: faults.struck.clone(),
        conducts: agents.conducts.clone(),
        elapsed: state.elapsed(),
    }
}

/// From now on the world does what it should.
fn calm(world: &World) {
    let mut state = world.state();
    state.faults.end();
    state.agents.is_calm = true;
}

/// One process of the town; true once everything is at rest, false where it must begin again.
async fn live(world: &World, seed: u64, asks: &[Ask], asked: &mut usize) -> bool {
    let Some(town) = open(world, seed).await else { return false };
    if !started(&town).await {
        return false;
    }
    while let Some(ask) = asks.get(*asked) {
        tokio::time::sleep(ask.after).await;
        ask.make(&town, *asked).await;
        *asked += 1;
    }
    let left = TROUBLE.saturating_sub(world.state().elapsed());
    tokio::time::sleep(left).await;
    calm(world);
    let began = world.state().elapsed();
    loop {
        // The engine gives up on what no waiting mends, as a store that was closed under it.
        if !started(&town).await {
            return false;
        }
        let (before, _) = world.at();
        tokio::time::sleep(REST).await;
        let (after, now) = world.at();
        if after == before {
            return replays(world, &town).await;
        }
        if now > began + CALM {
            world.state().watchdog.wrong.push(format!("it still writes: entry {after}"));
            return true;
        }
    }
}

async fn open(world: &World, seed: u64) -> Option<Town> {
    let (world, backend) = (Arc::new(world.clone()), Arc::new(world.backend().clone()));
    let builder = Town::builder("/simulated")
        .backend(backend)
        .simulated(world.clone())
        .repositories(world.clone())
        .runtime(world.clone())
        .clock(world)
        .seed(seed);
    match builder.open().await {
        Ok(town) => Some(town),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            None
        }
    }
}

/// Starts the engine where it does not run; false where that is not possible now.
async fn started(town: &Town) -> bool {
    match town.start().await {
        Ok(()) => true,
        Err(error) => {
            assert!(error.kind() == ErrorKind::Unavailable || error.code() == "engine_running_elsewhere", "{error:?}");
            false
        }
    }
}

async fn replays(world: &World, town: &Town) -> bool {
    let replay = town.replay().await.unwrap();
    if !replay.differences.is_empty() {
        world.state().watchdog.wrong.push(format!("the journal does not give the rows: {:?}", replay.differences));
    }
    true
}

fn journal(backend: &MemoryBackend) -> Vec<String> {
    let mut connection = backend.connect(Access::Read).unwrap();
    let reader = connection.read(&TownId::new("town").unwrap()).unwrap();
    let events = reader.events(0, 100_000).unwrap();
    events
        .iter()
        .map(|event| {
            let at = event.at.as_micros() / 1_000_000 - 1_800_000_000;
            let data = if event.kind == "engine.leader" { String::new() } else { event.data.to_string() };
            format!("{:>4} {at:>8} {} {} {data}", event.seq, event.kind, event.subject)
        })
        .collect()
}

//! A town that is opened anew while hundreds of its agents live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::model::{AgentName, Result, RigName, SessionId};
use gastown_core::runtime::{
    Capabilities, ContainerRuntime, ExitRecord, OutputChunk, SessionSpec, SessionState, SessionStatus,
};
use gastown_core::store::{Interference, MemoryBackend};
use gastown_core::{AddRig, Configure, NewBead, NewSettings, RegisterAgent, Sling, SlingMany, Town};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::chance::{Faults, Plan};
use super::world::World;

/// More than the first few looks adopt, which a start makes anyway.
const LIVE: usize = 1_500;

/// A store that does what it should.
#[derive(Debug, Default)]
struct Calm(Mutex<BTreeMap<SessionId, String>>);

#[async_trait]
impl Interference for Calm {
    async fn before_write(&self) -> Result<()> {
        Ok(())
    }
    async fn after_write(&self) -> Result<()> {
        Ok(())
    }
    async fn before_read(&self) -> Result<()> {
        Ok(())
    }
    fn briefs(&self) -> &Mutex<BTreeMap<SessionId, String>> {
        &self.0
    }
}

/// Agents that run for ever, in processes that outlive the town's.
#[derive(Debug, Default)]
struct Crew {
    started: Mutex<BTreeSet<SessionId>>,
    /// Those that somebody waits for.
    waited: watch::Sender<BTreeSet<SessionId>>,
}

#[async_trait]
impl ContainerRuntime for Crew {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none();
        capabilities.survives_host = true;
        capabilities
    }
    async fn start(&self, spec: &SessionSpec) -> Result<SessionStatus> {
        self.started.lock().unwrap().insert(spec.session.clone());
        self.inspect(&spec.session).await
    }
    async fn list(&self) -> Result<Vec<SessionStatus>> {
        let started = self.started.lock().unwrap();
        Ok(started.iter().map(|id| SessionStatus::new(id.clone(), SessionState::Running)).collect())
    }
    async fn inspect(&self, session: &SessionId) -> Result<SessionStatus> {
        let runs = self.started.lock().unwrap().contains(session);
        let state = if runs { SessionState::Running } else { SessionState::Absent };
        Ok(SessionStatus::new(session.clone(), state))
    }
    async fn wait(&self, session: &SessionId) -> Result<ExitRecord> {
        self.waited.send_modify(|waited| assert!(waited.insert(session.clone()), "{session} is waited for twice"));
        std::future::pending().await
    }
    async fn stop(&self, session: &SessionId, _: Duration) -> Result<()> {
        panic!("nobody stops {session}")
    }
    async fn forget(&self, session: &SessionId) -> Result<()> {
        panic!("{session} runs")
    }
    async fn output(&self, _: &SessionId, offset: u64, _: usize) -> Result<OutputChunk> {
        Ok(OutputChunk::new(offset, Vec::new()))
    }
}

impl Crew {
    /// Waits until all are waited for.
    async fn attended(&self) {
        let mut waited = self.waited.subscribe();
        waited.wait_for(|waited| waited.len() == LIVE).await.unwrap();
    }
}

/// Opens the town and starts its engine.
async fn begin(world: &World, crew: &Arc<Crew>) -> Town {
    let builder = Town::builder("/simulated")
        .backend(Arc::new(world.backend().clone()))
        .simulated(Arc::new(Calm::default()))
        .repositories(Arc::new(world.clone()))
        .runtime(crew.clone())
        .clock(Arc::new(world.clone()))
        .seed(1);
    let town = builder.open().await.unwrap();
    town.start().await.unwrap();
    town
}

/// Has so many agents at work.
async fn man(town: &Town) {
    let (operator, rig) = (town.operator(), RigName::new("harbour").unwrap());
    let most = || NewSettings::from([("sessions.max".to_owned(), json!(LIVE))]);
    operator.rigs().configure(Configure { rig: None, settings: most() }).await.unwrap();
    let mut settings = most();
    settings.insert("agent.command".to_owned(), json!(["agent"]));
    let add = AddRig { settings, ..AddRig::new(rig.clone(), "https://git.example.org/harbour.git") };
    operator.rigs().add(add).await.unwrap();
    let mut slings = Vec::new();
    for n in 0..LIVE {
        let name = AgentName::new(format!("toast{n}")).unwrap();
        operator.agents().register(RegisterAgent::polecat(name, rig.clone())).await.unwrap();
        let bead = operator.beads().create(NewBead::titled(format!("plank {n}")).in_rig(rig.clone())).await.unwrap();
        slings.push(Sling::from(bead.id));
    }
    operator.beads().sling_many(SlingMany { slings }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_town_that_is_opened_anew_waits_for_everyone_who_lives_before_any_time_passes() {
    let world = World::new(1, Faults::new(Plan::Given(BTreeMap::new())), MemoryBackend::new());
    world.process_begins();
    let crew = Arc::new(Crew::default());
    let town = begin(&world, &crew).await;
    man(&town).await;
    crew.attended().await;
    town.close().await.unwrap();
    crew.waited.send_replace(BTreeSet::new());

    let began = Instant::now();
    let town = begin(&world, &crew).await;
    crew.attended().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    town.close().await.unwrap();
}

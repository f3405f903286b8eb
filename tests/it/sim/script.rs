//! What users ask for: drawn from the seed, each until it is answered.

use std::time::Duration;

use gastown_core::model::{AgentName, FailurePolicy, RigName};
use gastown_core::{AddRig, DrainTown, ErrorKind, NewSettings, RegisterAgent, SlingConvoy, Task, Town};
use serde_json::{Value as Json, json};

use super::chance::Chance;

/// The engine is drained, and started again.
const DRAIN: &str = "town.drain";

/// One thing that somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// How long after the one before.
    pub(super) after: Duration,
    operation: &'static str,
    input: Json,
}

/// The rigs; the second is not in every town.
const RIGS: [&str; 2] = ["harbour", "dock"];

fn rig(nth: usize) -> RigName {
    RigName::new(RIGS[nth]).unwrap()
}

/// What a seed's users ask for, as it is drawn.
struct Script<'a> {
    chance: &'a mut Chance,
    asks: Vec<Ask>,
    agents: Vec<AgentName>,
    /// How many rigs there are.
    rigs: usize,
}

/// What a seed's users ask for, one after the other.
pub(super) fn asks(chance: &mut Chance) -> Vec<Ask> {
    let mut script = Script { chance, asks: Vec::new(), agents: Vec::new(), rigs: 1 };
    script.found();
    for n in 0..=script.chance.below(3) {
        script.convoy(n);
        script.change();
    }
    for n in 0..script.chance.below(4) {
        script.alone(n);
        script.change();
    }
    script.resume();
    script.asks
}

impl Script<'_> {
    fn ask(&mut self, operation: &'static str, input: Json) {
        let after = Duration::from_secs(self.chance.one_of(&[0, 0, 1, 60, 2_000]));
        self.asks.push(Ask { after, operation, input });
    }

    fn count(&mut self, below: usize) -> usize {
        usize::try_from(self.chance.below(below as u64)).unwrap()
    }

    /// Rigs, agents and limits.
    fn found(&mut self) {
        self.rigs = 1 + self.count(2);
        for nth in 0..self.rigs {
            // Hours pass in a run, and each heartbeat is a step of it.
            let heartbeat = self.chance.one_of(&[120_000, 600_000, 900_000]);
            let settings: NewSettings = [
                ("session.heartbeat_ms", json!(heartbeat)),
                ("session.lease_ms", json!(4 * heartbeat)),
                ("agent.command", json!(["agent"])),
                ("gate.command", json!(["gate"])),
                ("session.timeout_ms", json!(3_600_000)),
                ("sessions.max", json!(2 + self.chance.below(4))),
                ("failures.max", json!(2 + self.chance.below(4))),
                ("agent.preset", json!("claude")),
                ("agents.pool_max", json!(self.chance.one_of(&[0, 0, 3]))),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
            let add = AddRig { settings, ..AddRig::new(rig(nth), format!("https://git.example.org/{}.git", rig(nth))) };
            self.ask("rigs.add", serde_json::to_value(add).unwrap());
            for n in 0..=self.count(3) {
                let agent = AgentName::new(format!("toast{nth}-{n}")).unwrap();
                let register = RegisterAgent::polecat(agent.clone(), rig(nth));
                self.ask("agents.register", serde_json::to_value(register).unwrap());
                self.agents.push(agent);
            }
        }
        if self.chance.permille(500) {
            let most = 1 + self.chance.below(4);
            let settings = match self.chance.below(3) {
                0 => json!({ "sessions.max": most }),
                1 => json!({ "sessions.role_max": { "polecat": most } }),
                _ => json!({ "sessions.preset_max": { "claude": most } }),
            };
            self.ask("rigs.configure", json!({ "settings": settings }));
        }
        if self.chance.permille(500) {
            self.ask("rigs.configure", json!({ "settings": { "agents.idle_ms": 600_000 } }));
        }
    }

    fn convoy(&mut self, n: u64) {
        let mut tasks = Vec::new();
        for task in 0..=self.count(5) {
            let earlier: Vec<usize> = (0..task).filter(|_| self.chance.permille(350)).collect();
            tasks.push(Task::new(format!("task {n}.{task}"), earlier));
        }
        let on_failure = self.chance.one_of(&[FailurePolicy::Block, FailurePolicy::Skip, FailurePolicy::Continue]);
        let rig = rig(self.count(self.rigs));
        let convoy = SlingConvoy { on_failure, ..SlingConvoy::new(format!("convoy {n}"), rig, tasks) };
        self.ask("convoys.sling", serde_json::to_value(convoy).unwrap());
    }

    /// Beads without a convoy, given out in every way there is.
    fn alone(&mut self, n: u64) {
        let nth = self.count(self.rigs);
        let prefix = RIGS[nth].get(..2).unwrap();
        let ids = [format!("{prefix}-alone{n}"), format!("{prefix}-other{n}")];
        for id in &ids {
            let priority = self.chance.below(5);
            self.ask("beads.create", json!({ "title": id, "rig": rig(nth), "id": id, "priority": priority }));
        }
        let agent = AgentName::new(format!("toast{nth}-0")).unwrap();
        match self.chance.below(4) {
            0 => self.ask("beads.sling_many", json!({ "slings": ids.clone().map(|id| json!({ "bead": id })) })),
            1 => self.ask("agents.hook", json!({ "name": agent, "bead": ids[0] })),
            2 => self.ask("beads.sling", json!({ "bead": ids[0], "to": agent })),
            _ => self.ask("beads.sling", json!({ "bead": ids[0] })),
        }
        if self.chance.permille(300) {
            self.ask("sessions.stop", json!({ "id": format!("s-{}-1", ids[0]) }));
        }
        if self.chance.permille(300) {
            self.ask("agents.unhook", json!({ "name": agent }));
        }
        if self.chance.permille(300) {
            self.ask("beads.park", json!({ "id": ids[0], "reason": "no tide" }));
            self.ask("beads.unpark", json!({ "id": ids[0] }));
        }
        if self.chance.permille(500) {
            self.ask("beads.sling", json!({ "bead": ids[0] }));
        }
    }

    /// Something that changes who may begin.
    fn change(&mut self) {
        let nth = self.count(self.agents.len());
        let agent = self.agents[nth].clone();
        let rig = rig(self.count(self.rigs));
        let reason = "a storm";
        match self.chance.below(12) {
            10 | 11 => {
                let grace_ms = self.chance.one_of(&[0, 5_000, 200_000]);
                self.ask(DRAIN, json!({ "reason": reason, "grace_ms": grace_ms }));
            }
            0 => self.ask("upkeep.pause", json!({ "reason": reason })),
            1 => self.ask("upkeep.resume", json!({})),
            2 => self.ask("rigs.pause", json!({ "name": rig, "reason": reason })),
            3 => self.ask("rigs.resume", json!({ "name": rig })),
            4 => self.ask("agents.pause", json!({ "name": agent, "reason": reason })),
            5 => self.ask("agents.resume", json!({ "name": agent })),
            6 => {
                let most = 1 + self.chance.below(4);
                self.ask("rigs.configure", json!({ "rig": rig, "settings": { "sessions.max": most } }));
            }
            // The first of a rig stays, so that its beads are done in the end.
            7 if !agent.as_str().ends_with("-0") => self.ask("agents.retire", json!({ "name": agent })),
            _ => {}
        }
    }

    /// Ends every pause, so that everything can come to its end.
    fn resume(&mut self) {
        self.ask("upkeep.resume", json!({}));
        for nth in 0..self.rigs {
            self.ask("rigs.resume", json!({ "name": rig(nth) }));
        }
        for agent in self.agents.clone() {
            self.ask("agents.resume", json!({ "name": agent }));
        }
    }
}

impl Ask {
    /// Asks until there is an answer; a refusal for what the state is, is one.
    pub(super) async fn make(&self, town: &Town, nth: usize) {
        if self.operation == DRAIN {
            return self.drain(town).await;
        }
        let handle = town.operator().with_key(format!("ask {nth}"));
        loop {
            match handle.call(self.operation, self.input.clone()).await {
                Ok(_) => return,
                // Somebody else may have done it, or it came too late.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => return,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => panic!("{} {}: {error:?}", self.operation, self.input),
            }
        }
    }

    /// Drains the host and begins another engine, as one that came up elsewhere.
    async fn drain(&self, town: &Town) {
        let input: DrainTown = serde_json::from_value(self.input.clone()).unwrap();
        match town.drain(input).await {
            Ok(()) => {
                if let Err(error) = town.start().await {
                    let is_trouble =
                        error.kind() == ErrorKind::Unavailable || error.code() == "engine_running_elsewhere";
                    assert!(is_trouble, "{error:?}");
                }
            }
            // The engine gave up meanwhile, or another one leads.
            Err(error) => {
                let is_trouble = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unavailable);
                assert!(is_trouble, "{error:?}");
            }
        }
    }
}

//! What users ask for: drawn from the seed, each until it is answered.

use std::time::Duration;

use gastown_core::model::{AgentName, FailurePolicy, RigName};
use gastown_core::{AddRig, ErrorKind, NewSettings, RegisterAgent, SlingConvoy, Task, Town};
use serde_json::{Value as Json, json};

use super::chance::Chance;

/// One thing that somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// How long after the one before.
    pub(super) after: Duration,
    operation: &'static str,
    input: Json,
}

pub(super) fn rig() -> RigName {
    RigName::new("harbour").unwrap()
}

/// What a seed's users ask for, one after the other.
pub(super) fn asks(chance: &mut Chance) -> Vec<Ask> {
    let mut asks = Vec::new();
    let settings: NewSettings = [
        ("agent.command", json!(["agent"])),
        ("gate.command", json!(["gate"])),
        ("session.timeout_ms", json!(3_600_000)),
        ("sessions.max", json!(2 + chance.below(4))),
        ("failures.max", json!(2 + chance.below(4))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let add = AddRig { settings, ..AddRig::new(rig(), "https://git.example.org/harbour.git") };
    let mut ask = |chance: &mut Chance, operation, input: Json| {
        let after = Duration::from_secs(chance.one_of(&[0, 0, 1, 60, 2_000]));
        asks.push(Ask { after, operation, input });
    };
    ask(chance, "rigs.add", serde_json::to_value(add).unwrap());
    for n in 0..=chance.below(4) {
        let agent = RegisterAgent::polecat(AgentName::new(format!("toast{n}")).unwrap(), rig());
        ask(chance, "agents.register", serde_json::to_value(agent).unwrap());
    }
    for n in 0..=chance.below(3) {
        let count = 1 + usize::try_from(chance.below(5)).unwrap();
        let mut tasks = Vec::new();
        for task in 0..count {
            let earlier: Vec<usize> = (0..task).filter(|_| chance.permille(350)).collect();
            tasks.push(Task::new(format!("task {n}.{task}"), earlier));
        }
        let on_failure = chance.one_of(&[FailurePolicy::Block, FailurePolicy::Skip, FailurePolicy::Continue]);
        let convoy = SlingConvoy { on_failure, ..SlingConvoy::new(format!("convoy {n}"), rig(), tasks) };
        ask(chance, "convoys.sling", serde_json::to_value(convoy).unwrap());
    }
    for n in 0..chance.below(4) {
        let id = format!("ha-alone{n}");
        ask(chance, "beads.create", json!({ "title": format!("alone {n}"), "rig": rig(), "id": id }));
        ask(chance, "beads.sling", json!({ "bead": id }));
        if chance.permille(300) {
            ask(chance, "sessions.stop", json!({ "id": format!("s-{id}-1") }));
            ask(chance, "beads.sling", json!({ "bead": id }));
        }
    }
    asks
}

impl Ask {
    /// Asks until there is an answer; a refusal for what the state is, is one.
    pub(super) async fn make(&self, town: &Town, nth: usize) {
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
}

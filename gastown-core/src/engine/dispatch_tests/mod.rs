//! What is handed out, to whom, in which order, and what is said of the rest.

mod fair;
mod hooks;
mod limits;
mod pauses;
mod plan;
mod pool;
mod slings;

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::tests::{Bench, oid};
use super::tick;
use crate::model::{AgentName, AgentRow, BeadId, BeadStatus, RigName, Scope, SessionExit, SessionId, TownId};
use crate::work::effects::Done;
use crate::work::graph::{self, ReasonKind};
use crate::work::view::View;
use crate::work::{
    AddRig, All, BeadRef, Configure, Explanation, NewBead, NewSettings, PlannedStart, RegisterAgent, agents, beads,
    rigs, schedule,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn settings(values: &[(&str, Json)]) -> NewSettings {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Sessions are asked for their life once a day, so that other times show.
fn calm() -> NewSettings {
    settings(&[("session.heartbeat_ms", json!(86_400_000)), ("session.lease_ms", json!(86_400_000))])
}

fn other() -> RigName {
    RigName::new("dock").unwrap()
}

impl Bench {
    /// A second rig with so many polecats.
    fn dock(&mut self, agents: usize) {
        let add = AddRig::new(other(), "/dock.git");
        self.run(|txn| rigs::add(txn, &add)).unwrap();
        for n in 0..agents {
            let agent = RegisterAgent::polecat(name(&format!("nux{n}")), other());
            self.run(|txn| agents::register(txn, &agent)).unwrap();
        }
    }

    fn configure(&mut self, rig: Option<RigName>, values: &[(&str, Json)]) {
        let input = Configure { rig, settings: settings(values) };
        self.run(|txn| rigs::configure(txn, &input)).unwrap();
    }

    /// Makes a bead and slings it without looking at whose turn it is.
    fn waiting(&mut self, rig: RigName, priority: u32) -> BeadId {
        let new = NewBead { priority, ..NewBead::titled("waits").in_rig(rig) };
        let id = self.run(|txn| beads::create(txn, &new)).unwrap().id;
        let now = self.now;
        self.run(|txn| {
            let row = txn.bead(&id)?;
            txn.put_bead(crate::model::BeadRow { slung: true, slung_at: Some(now), ..row })
        })
        .unwrap();
        self.now = self.now.after(Duration::from_micros(1));
        id
    }

    fn tick(&mut self) -> super::Tick {
        self.run(tick).unwrap()
    }

    /// Looks until nothing is left to be begun.
    fn settle(&mut self) -> super::Tick {
        for issued in self.look() {
            self.done(
                &issued,
                if issued.order.kind() == "start" { Done::Started { base: oid(1) } } else { Done::Plainly },
            );
        }
        self.tick()
    }

    fn running_of(&mut self, ids: &[BeadId]) -> usize {
        ids.iter().filter(|id| self.bead(id).status == BeadStatus::InProgress).count()
    }

    fn planned(&mut self) -> Vec<PlannedStart> {
        self.ask(|view| schedule::next(view, &All {}).unwrap().starts)
    }

    fn explain(&mut self, id: &BeadId) -> Explanation {
        let input = BeadRef { id: id.clone() };
        self.ask(|view| graph::explain(view, &input).unwrap())
    }

    /// What keeps a slung bead, but that it was slung.
    fn holds(&mut self, id: &BeadId) -> Vec<ReasonKind> {
        let reasons = self.explain(id).reasons.into_iter().map(|reason| reason.reason);
        reasons.filter(|reason| *reason != ReasonKind::Slung).collect()
    }

    fn ask<O>(&mut self, question: impl FnOnce(View<'_>) -> O) -> O {
        let reader = self.connection.read(&TownId::new("town").unwrap()).unwrap();
        question(View::new(&*reader, &Scope::Operator, self.now))
    }

    /// Ends the session of a bead that is worked on.
    fn fail(&mut self, id: &BeadId) {
        let epoch = self.bead(id).epoch;
        self.end(&SessionId::new(format!("s-{id}-{epoch}")).unwrap(), epoch, SessionExit::Failed, None);
    }

    fn agent(&mut self, agent: &str) -> AgentRow {
        let agent = name(agent);
        self.run(|txn| agents::by_name(txn.view(), &agent)).unwrap()
    }
}

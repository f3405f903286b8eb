//! What must hold of each session that begins: limits, pauses, and that no rig or convoy is starved by another.

use std::collections::BTreeMap;

use gastown_core::SETTINGS;
use gastown_core::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, Event, Key, RigName, RigRow, RigState,
    Role, Row, SessionRow, SessionState, SettingRow, Timestamp, TownRow,
};
use serde_json::Value as Json;

/// The actor of what the engine does by itself.
const ENGINE: &str = "engine";

/// The town before a session is planned.
struct Before<'a> {
    rows: &'a BTreeMap<Key, Row>,
    now: Timestamp,
}

/// What is wrong with the session that an entry plans, seen from the rows before it.
pub(super) fn check_start(rows: &BTreeMap<Key, Row>, event: &Event) -> Vec<String> {
    let before = Before { rows, now: event.at };
    let (mut session, mut after): (Option<SessionRow>, Option<AgentRow>) = (None, None);
    for change in &event.changes {
        match Row::from_change(change).unwrap() {
            Some(Row::Session(row)) => session = Some(row),
            Some(Row::Agent(row)) => after = Some(row),
            _ => {}
        }
    }
    let (Some(session), Some(after)) = (session, after) else {
        return vec![format!("the plan of {} names no session or no agent", event.subject)];
    };
    let Some(bead) = before.bead(&session.bead) else {
        return vec![format!("session {} is of no bead", session.id)];
    };
    let mut wrong = before.check_holds(bead, &session, &after);
    wrong.extend(before.check_limits(&session, &after));
    if event.actor == ENGINE && bead.priority > 0 {
        wrong.extend(before.check_shares(bead, &session));
    }
    wrong
}

/// Whether a pause, a deferral or a parking holds.
fn holds(is: bool, until: Option<Timestamp>, now: Timestamp) -> bool {
    is && until.is_none_or(|until| until > now)
}

impl Before<'_> {
    fn bead(&self, id: &BeadId) -> Option<&BeadRow> {
        self.rows.get(&Key::bead(id)).and_then(|row| if let Row::Bead(bead) = row { Some(bead) } else { None })
    }

    fn agents(&self) -> impl Iterator<Item = &AgentRow> {
        self.rows.values().filter_map(|row| if let Row::Agent(agent) = row { Some(agent) } else { None })
    }

    fn sessions(&self) -> impl Iterator<Item = &SessionRow> {
        let rows = self.rows.values();
        rows.filter_map(|row| if let Row::Session(session) = row { Some(session) } else { None })
            .filter(|session| session.state != SessionState::Ended)
    }

    fn role_of(&self, session: &SessionRow) -> Option<Role> {
        self.agents().find(|agent| agent.id == session.agent).map(|agent| agent.role)
    }

    /// The value that holds for a rig, or for the town.
    fn setting(&self, rig: Option<&RigName>, name: &str) -> Json {
        let own = rig.map(|rig| format!("rig:{rig}"));
        let stored = own.iter().map(String::as_str).chain(["town"]).find_map(|scope| {
            self.rows.values().find_map(|row| match row {
                Row::Setting(SettingRow { scope: of, name: is, value, .. }) if of == scope && is == name => {
                    Some(value.clone())
                }
                _ => None,
            })
        });
        let default = || SETTINGS.iter().find(|setting| setting.name == name).map(|setting| setting.default);
        stored.unwrap_or_else(|| serde_json::from_str(default().expect("there is such a setting")).unwrap())
    }

    fn is_town_paused(&self) -> bool {
        self.rows.values().any(|row| match row {
            Row::Town(TownRow { paused_reason, paused_until, .. }) => {
                holds(paused_reason.is_some(), *paused_until, self.now)
            }
            _ => false,
        })
    }

    fn is_rig_paused(&self, name: &RigName) -> bool {
        self.rows.values().any(|row| match row {
            Row::Rig(RigRow { name: is, state, paused_until, .. }) if is == name => {
                holds(*state == RigState::Paused, *paused_until, self.now)
            }
            _ => false,
        })
    }

    /// Whether nothing of its own keeps a bead from being run.
    fn waits(&self, bead: &BeadRow) -> bool {
        let later = |at: Option<Timestamp>| at.is_some_and(|at| at > self.now);
        bead.kind == BeadKind::Issue
            && bead.slung
            && bead.status == BeadStatus::Open
            && bead.blockers == 0
            && !holds(bead.parked_reason.is_some(), bead.parked_until, self.now)
            && !later(bead.defer_until)
            && !later(bead.wake_at)
    }

    fn check_holds(&self, bead: &BeadRow, session: &SessionRow, after: &AgentRow) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut say = |why: &str| wrong.push(format!("session {} begins though {why}", session.id));
        if self.is_town_paused() {
            say("the town is paused");
        }
        if self.is_rig_paused(&session.rig) {
            say("its rig is paused");
        }
        if !self.waits(bead) {
            say("its bead is not to be run");
        }
        if bead.slung_to.as_ref().is_some_and(|to| *to != session.agent) {
            say("its bead is for another agent");
        }
        if let Some(agent) = self.agents().find(|agent| agent.id == session.agent) {
            if holds(agent.state == AgentState::Paused, agent.paused_until, self.now) {
                say("its agent is paused");
            }
            if agent.state == AgentState::Retired {
                say("its agent is retired");
            }
            if agent.hook.as_ref().is_some_and(|held| *held != bead.id || agent.session.is_some()) {
                say("its agent holds another bead");
            }
        }
        if self.agents().any(|agent| agent.id != after.id && agent.hook.as_ref() == Some(&bead.id)) {
            say("its bead is on another hook");
        }
        wrong
    }

    fn check_limits(&self, session: &SessionRow, after: &AgentRow) -> Vec<String> {
        let agent_of = |other: &SessionRow| self.agents().find(|agent| agent.id == other.agent);
        let preset = after.preset.as_deref();
        let of = |name: &str, key: Option<&str>| key.and_then(|key| self.setting(None, name).get(key)?.as_u64());
        let limits = [
            ("town", self.setting(None, "sessions.max").as_u64(), self.sessions().count()),
            (
                "rig",
                self.setting(Some(&session.rig), "sessions.max").as_u64(),
                self.sessions().filter(|other| other.rig == session.rig).count(),
            ),
            (
                "role",
                of("sessions.role_max", Some(after.role.as_str())),
                self.sessions().filter(|other| self.role_of(other) == Some(after.role)).count(),
            ),
            (
                "program",
                of("sessions.preset_max", preset),
                self.sessions()
                    .filter(|other| agent_of(other).and_then(|agent| agent.preset.as_deref()) == preset)
                    .count(),
            ),
        ];
        let is_past = |most: Option<u64>, running: usize| most.is_some_and(|most| running as u64 >= most);
        limits
            .into_iter()
            .filter(|(_, most, running)| is_past(*most, *running))
            .map(|(of, most, running)| {
                format!("session {} begins beside {running} of its {of}, of {most:?}", session.id)
            })
            .collect()
    }

    /// Nobody else should have got the place that a bead without urgency gets.
    fn check_shares(&self, bead: &BeadRow, session: &SessionRow) -> Vec<String> {
        let in_rig = |rig: &RigName| self.sessions().filter(|session| session.rig == *rig).count();
        let beads = || self.rows.values().filter_map(|row| if let Row::Bead(bead) = row { Some(bead) } else { None });
        let at_work = |rig: &RigName, convoy: &Option<BeadId>| {
            let of = |bead: &&BeadRow| bead.rig.as_ref() == Some(rig) && bead.convoy == *convoy;
            beads().filter(of).filter(|bead| bead.slung && bead.status == BeadStatus::InProgress).count()
        };
        let (running, of_convoy) = (in_rig(&session.rig), at_work(&session.rig, &bead.convoy));
        let mut wrong = Vec::new();
        let wants = |other: &&BeadRow| other.slung_to.is_none() && other.slung_role == bead.slung_role;
        for other in beads().filter(wants).filter(|other| self.waits(other) && self.has_branch(other)) {
            let Some(rig) = other.rig.as_ref().filter(|rig| self.could_begin(rig, other)) else { continue };
            let is_starved =
                if *rig == session.rig { at_work(rig, &other.convoy) < of_convoy } else { in_rig(rig) < running };
            if is_starved {
                wrong.push(format!("{} begins before {}, whose share is smaller", session.id, other.id));
            }
        }
        wrong
    }

    fn has_branch(&self, bead: &BeadRow) -> bool {
        bead.convoy.as_ref().is_none_or(|convoy| {
            self.rows
                .values()
                .any(|row| matches!(row, Row::Convoy(ConvoyRow { id, base: Some(_), .. }) if id == convoy))
        })
    }

    /// Whether the rig has an idle agent for the bead, and room.
    fn could_begin(&self, rig: &RigName, bead: &BeadRow) -> bool {
        let role = bead.slung_role.unwrap_or(Role::Polecat);
        let is_idle = |agent: &AgentRow| {
            agent.rig.as_ref() == Some(rig)
                && agent.role == role
                && agent.state == AgentState::Idle
                && agent.hook.is_none()
        };
        let preset = self.setting(Some(rig), "agent.preset");
        let has_program_limit =
            preset.as_str().is_some_and(|name| self.setting(None, "sessions.preset_max").get(name).is_some());
        let most = self.setting(Some(rig), "sessions.max").as_u64();
        let running = self.sessions().filter(|session| session.rig == *rig).count() as u64;
        // A program's limit may be what keeps it.
        !has_program_limit
            && !self.is_rig_paused(rig)
            && most.is_none_or(|most| running < most)
            && self.agents().any(is_idle)
    }
}

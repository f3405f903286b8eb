//! What must hold behind every commit, read from the journal as it grows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use gastown_core::model::{
    AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, ConvoyRow, ConvoyState, EffectState, Event, Key,
    MergeRequestRow, ReviewState, Row, SessionRow, SessionState, TownId,
};
use gastown_core::store::{Access, Backend as _, MemoryBackend};

use super::agents::{Agents, is_gate};
use super::dispatch;
use super::forge::{Forge, MAIN};

/// Follows the journal and says what it finds wrong.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    seen: u64,
    rows: BTreeMap<Key, Row>,
    moves_seen: usize,
    /// Each thing that was wrong, once.
    pub(super) wrong: Vec<String>,
    /// The kinds of entries that were met.
    pub(super) kinds: BTreeMap<String, u64>,
    /// A sum over what the journal says, the same for the same run.
    sum: DefaultHasher,
}

impl Watchdog {
    pub(super) fn journal_sum(&self) -> u64 {
        self.sum.finish()
    }

    /// The journal's last entry.
    pub(super) const fn seq(&self) -> u64 {
        self.seen
    }

    /// Looks at what was committed since the last look.
    pub(super) fn look(&mut self, backend: &MemoryBackend, agents: &Agents, forge: &Forge) {
        let town = TownId::new("town").unwrap();
        let mut connection = backend.connect(Access::Read).unwrap();
        let reader = connection.read(&town).unwrap();
        let before = self.seen;
        loop {
            let events = reader.events(self.seen, 100).unwrap();
            for event in &events {
                self.take(event);
            }
            if events.len() < 100 {
                break;
            }
        }
        if self.seen == before {
            return;
        }
        // What several entries of one commit say together.
        self.check_rows(agents);
        self.check_moves(agents, forge);
    }

    fn say(&mut self, what: &str) {
        let what = format!("#{}: {what}", self.seen);
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }

    fn take(&mut self, event: &Event) {
        if event.seq != self.seen + 1 {
            self.say(&format!("entry {} follows {}", event.seq, self.seen));
        }
        self.seen = event.seq;
        *self.kinds.entry(event.kind.clone()).or_default() += 1;
        // The leader's name holds the number of this process.
        let data = if event.kind == "engine.leader" { String::new() } else { event.data.to_string() };
        (event.seq, event.at.as_micros(), &event.kind, &event.subject, data).hash(&mut self.sum);
        if event.kind == "session.planned" {
            for what in dispatch::check_start(&self.rows, event) {
                self.say(&what);
            }
        }
        for change in &event.changes {
            let row = Row::from_change(change).unwrap();
            let values = change.key.iter().map(gastown_core::model::value::Value::from_json);
            let kind = gastown_core::model::RowKind::of_table(&change.table).unwrap();
            let key = Key { kind, values: values.collect::<Result<_, _>>().unwrap() };
            match row {
                Some(row) => {
                    let before = self.rows.insert(key, row.clone());
                    self.step(before.as_ref(), &row);
                }
                None => {
                    self.rows.remove(&key);
                }
            }
        }
    }

    /// One row goes from one state to the next.
    fn step(&mut self, before: Option<&Row>, after: &Row) {
        match (before, after) {
            (Some(Row::Bead(before)), Row::Bead(after)) => {
                let step = (before.status, after.status);
                if step.0 != step.1 && !BeadStatus::MOVES.contains(&step) {
                    self.say(&format!("bead {} went from {} to {}", after.id, step.0, step.1));
                }
                if after.epoch < before.epoch || after.epoch > before.epoch + 1 {
                    self.say(&format!("bead {} went from epoch {} to {}", after.id, before.epoch, after.epoch));
                }
                if after.version < before.version {
                    self.say(&format!("bead {} went from version {} to {}", after.id, before.version, after.version));
                }
            }
            (Some(Row::Session(before)), Row::Session(after)) => {
                let step = (before.state, after.state);
                if step.0 != step.1 && !SessionState::MOVES.contains(&step) {
                    self.say(&format!("session {} went from {} to {}", after.id, step.0, step.1));
                }
            }
            (None, Row::Session(session)) => {
                let live = self.sessions().filter(|other| other.bead == session.bead && is_live(other)).count();
                if live > 1 {
                    self.say(&format!("bead {} has {live} sessions at once", session.bead));
                }
            }
            (Some(Row::MergeRequest(before)), Row::MergeRequest(after)) => {
                let step = (before.state, after.state);
                if step.0 != step.1 && !ReviewState::MOVES.contains(&step) {
                    self.say(&format!("merge request {} went from {} to {}", after.id, step.0, step.1));
                }
            }
            _ => {}
        }
    }

    fn sessions(&self) -> impl Iterator<Item = &SessionRow> {
        self.rows.values().filter_map(|row| if let Row::Session(session) = row { Some(session) } else { None })
    }

    pub(super) fn beads(&self) -> impl Iterator<Item = &BeadRow> {
        self.rows.values().filter_map(|row| if let Row::Bead(bead) = row { Some(bead) } else { None })
    }

    fn agents(&self) -> impl Iterator<Item = &AgentRow> {
        self.rows.values().filter_map(|row| if let Row::Agent(agent) = row { Some(agent) } else { None })
    }

    fn reviews(&self) -> impl Iterator<Item = &MergeRequestRow> {
        self.rows.values().filter_map(|row| if let Row::MergeRequest(review) = row { Some(review) } else { None })
    }

    pub(super) fn convoys(&self) -> impl Iterator<Item = &ConvoyRow> {
        self.rows.values().filter_map(|row| if let Row::Convoy(convoy) = row { Some(convoy) } else { None })
    }

    fn bead(&self, id: &BeadId) -> Option<&BeadRow> {
        self.rows.get(&Key::bead(id)).and_then(|row| if let Row::Bead(bead) = row { Some(bead) } else { None })
    }

    fn check_rows(&mut self, world: &Agents) {
        let mut wrong = Vec::new();
        let mut sessions: BTreeMap<&BeadId, Vec<&SessionRow>> = BTreeMap::new();
        for session in self.sessions().filter(|session| is_live(session)) {
            sessions.entry(&session.bead).or_default().push(session);
        }
        for bead in self.beads().filter(|bead| bead.kind == BeadKind::Issue) {
            let of_bead = sessions.get(&bead.id).map_or(&[][..], Vec::as_slice);
            let live = of_bead.len();
            let current = of_bead.iter().filter(|session| session.epoch == bead.epoch).count();
            if live > 1 {
                wrong.push(format!("bead {} has {live} live sessions", bead.id));
            }
            // Nobody claims beads here, so who works on one is a session.
            if (bead.status == BeadStatus::InProgress) != (current == 1) {
                wrong.push(format!("bead {} is {} with {current} sessions of its epoch", bead.id, bead.status));
            }
        }
        let mut held: BTreeMap<&BeadId, &AgentRow> = BTreeMap::new();
        for agent in self.agents() {
            if let Some(other) = agent.hook.as_ref().and_then(|hook| held.insert(hook, agent)) {
                wrong.push(format!("{} and {} hold {:?}", agent.name, other.name, agent.hook));
            }
            let holds = agent.hook.as_ref().and_then(|hook| self.bead(hook));
            let may_hold = matches!(agent.state, AgentState::Hooked | AgentState::Paused | AgentState::Retired);
            if (agent.state == AgentState::Hooked && agent.hook.is_none()) || (agent.hook.is_some() && !may_hold) {
                wrong.push(format!("agent {} is {} and holds {:?}", agent.name, agent.state, agent.hook));
            }
            // What is on a hook and has not begun is for this agent.
            let is_hooked = |bead: &BeadRow| bead.is_hooked() && bead.slung_to.as_ref() == Some(&agent.id);
            if agent.session.is_none() && holds.is_some_and(|bead| !is_hooked(bead)) {
                wrong.push(format!("agent {} holds {:?}, which is not for it", agent.name, agent.hook));
            }
            if agent.session.is_some() && holds.is_some_and(|bead| bead.status != BeadStatus::InProgress) {
                let session = agent.session.as_ref().and_then(|id| self.sessions().find(|row| row.id == *id));
                // One that is being stopped may still hold what was taken from it.
                if session.is_none_or(|session| session.state != SessionState::Finishing) {
                    wrong.push(format!("agent {} holds {:?}, which is not in progress", agent.name, agent.hook));
                }
            }
        }
        let mut processes: BTreeMap<&BeadId, u64> = BTreeMap::new();
        for id in world.running() {
            if let Some(session) = self.sessions().find(|session| session.id == *id) {
                *processes.entry(&session.bead).or_default() += 1;
            } else {
                wrong.push(format!("the process {id} belongs to no session"));
            }
        }
        for (bead, count) in processes.into_iter().filter(|(_, count)| *count > 1) {
            wrong.push(format!("{count} processes work on bead {bead} at once"));
        }
        for (id, starts) in world.starts.iter().filter(|(id, starts)| **starts > 1 && !is_gate(id)) {
            wrong.push(format!("session {id} was started {starts} times"));
        }
        for what in wrong {
            if !self.wrong.iter().any(|known| known.ends_with(&what)) {
                self.say(&what);
            }
        }
    }

    /// What was pushed to a branch that work lands on.
    fn check_moves(&mut self, agents: &Agents, forge: &Forge) {
        let mut wrong = Vec::new();
        for (branch, before, after) in &forge.moves[self.moves_seen..] {
            let Some(before) = before else { continue };
            let is_target = branch == MAIN || branch.starts_with("gt/convoy/");
            if !is_target {
                continue;
            }
            let commit = forge.commit(after);
            if commit.parents.first() != Some(before) {
                wrong.push(format!("{branch} went from {before} to {after}, which was made on {:?}", commit.parents));
            }
            let gate = format!("-{}", after.short());
            if !agents.passed.iter().any(|id| id.as_str().ends_with(&gate)) {
                wrong.push(format!("{branch} went to {after}, which no gate has passed"));
            }
        }
        self.moves_seen = forge.moves.len();
        for review in self.reviews().filter(|review| review.state == ReviewState::Merged) {
            // The convoy's branch is removed once it has landed.
            let Some(tip) = forge.remote(&review.target).or_else(|| forge.remote(MAIN)) else { continue };
            let landed = review.landed_oid.as_ref().unwrap_or(&review.head);
            if !forge.ancestors(tip).contains(landed) {
                wrong.push(format!("merge request {} is merged and {landed} is not in {}", review.id, review.target));
            }
        }
        for what in wrong {
            if !self.wrong.iter().any(|known| known.ends_with(&what)) {
                self.say(&what);
            }
        }
    }

    /// What must hold once nothing goes wrong any more and everything had its time.
    pub(super) fn check_rest(&mut self, agents: &Agents, forge: &Forge, briefs: usize) {
        let mut wrong = Vec::new();
        for bead in self.beads().filter(|bead| bead.kind == BeadKind::Issue && bead.slung) {
            let waits = bead.parked_reason.is_some() || bead.blockers > 0;
            if bead.status == BeadStatus::Open && !waits {
                wrong.push(format!("bead {} is slung and open and waits for nothing", bead.id));
            }
            if matches!(bead.status, BeadStatus::InProgress | BeadStatus::InReview) {
                let ejected = self.reviews().any(|review| {
                    review.source == bead.id && matches!(review.state, ReviewState::Ejected | ReviewState::Abandoned)
                });
                if !ejected {
                    wrong.push(format!("bead {} is {} and nobody does anything about it", bead.id, bead.status));
                }
            }
        }
        for row in self.rows.values() {
            if let Row::Effect(effect) = row
                && !effect.state.is_terminal()
            {
                wrong.push(format!("effect {} is {}", effect.id, effect.state));
            }
        }
        wrong.extend(
            self.sessions()
                .filter(|session| is_live(session))
                .map(|session| format!("session {} is {}", session.id, session.state)),
        );
        wrong.extend(agents.running().map(|id| format!("the process {id} runs")));
        for convoy in self.convoys().filter(|convoy| convoy.state == ConvoyState::Landed) {
            let main = forge.ancestors(forge.remote(MAIN).unwrap());
            if !convoy.landed_oid.as_ref().is_some_and(|oid| main.contains(oid)) {
                wrong.push(format!("convoy {} is landed and not in {MAIN}", convoy.id));
            }
        }
        // What a drained host left is at the remote, or somebody was told, until its bead is brought home.
        for session in self.sessions().filter(|session| session.exit.is_some_and(|exit| exit.as_str() == "drained")) {
            let Some(left) = session.saved.as_ref().or(session.head.as_ref()) else { continue };
            let branch = format!("gt/saved/{}.{}", session.bead, session.epoch);
            let is_home = self.reviews().any(|row| row.source == session.bead && row.state == ReviewState::Merged);
            let there = forge.remote(&branch);
            if is_home && there.is_some() {
                wrong.push(format!("{branch} is left although {} is merged", session.bead));
            }
            let was_refused = self.rows.values().any(|row| {
                matches!(row, Row::Effect(effect) if effect.kind == "save"
                    && effect.id.as_str().contains(session.id.as_str()) && effect.state == EffectState::Refused)
            });
            if !is_home && there != Some(left) && !was_refused {
                wrong.push(format!("{branch} is at {there:?} and not at {left}"));
            }
        }
        // Each bead's change is in the target once.
        let mut landed: BTreeMap<&str, usize> = BTreeMap::new();
        let main = forge.ancestors(forge.remote(MAIN).unwrap());
        for review in self.reviews().filter(|review| review.state == ReviewState::Merged) {
            let merges = main.iter().filter(|id| forge.commit(id).parents.get(1) == Some(&review.head)).count();
            *landed.entry(review.id.as_str()).or_default() += merges;
        }
        wrong
            .extend(landed.iter().filter(|(_, count)| **count > 1).map(|(id, n)| format!("{id} was merged {n} times")));
        let kept = self.kinds.get("session.ended").copied().unwrap_or(0);
        let left = forge.workspaces();
        let lost = self.sessions().filter(|session| session.exit.is_some_and(|exit| exit.as_str() == "lost")).count();
        if left > lost || briefs > lost {
            wrong.push(format!("{left} workspaces and {briefs} briefs of {kept} sessions are left, {lost} were lost"));
        }
        for what in wrong {
            self.say(&what);
        }
    }
}

fn is_live(session: &SessionRow) -> bool {
    session.state != SessionState::Ended
}

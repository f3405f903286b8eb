//! A look at whether the town can work: its rows, the outside world, and what is left behind; and mending it.

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::operation::Operation;
use super::upkeep::of_whole_town;
use crate::model::text_enum::text_enum;
use crate::model::{BreakerRow, BreakerState, LeaderRow, Result, RigName, RigRow, SessionState};
use crate::store::{Scan, Txn, index};
use crate::work::view::{View, text};
use crate::work::{ailments, command, schedule, settings};

/// What to look at, and whether to mend it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Examine {
    /// Whether what can be mended is mended; else it is only told.
    pub repair: bool,
}

text_enum! {
    /// What a doctor looks at.
    pub enum SymptomKind = "kind of symptom" {
        /// An agent holds a bead with a session that is over or not there.
        HookOrphaned = "hook_orphaned",
        /// A session goes on for an epoch that its bead is not in.
        SessionOrphaned = "session_orphaned",
        /// A session that is under way is looked at by nobody.
        SessionUnwatched = "session_unwatched",
        /// A bead is in work, and no session works on it.
        BeadUnheld = "bead_unheld",
        /// A bead is in review, and no merge request is open for it.
        ReviewMissing = "review_missing",
        /// A process runs that no session or gate goes with.
        ProcessOrphaned = "process_orphaned",
        /// The folder of a session is left that is over.
        WorkspaceOrphaned = "workspace_orphaned",
        /// The tree of a gate is left that is over.
        GateTreeOrphaned = "gate_tree_orphaned",
        /// A branch of this machine's mirror is left whose bead is over.
        MirrorBranchOrphaned = "mirror_branch_orphaned",
        /// A branch that the town put at the remote is left whose bead is over.
        RemoteBranchOrphaned = "remote_branch_orphaned",
        /// Beads wait to be started, and no engine runs.
        EngineOff = "engine_off",
        /// The engine's lease holds longer than it can: the clock was ahead, or is behind.
        ClockBehind = "clock_behind",
        /// A breaker lets no session be started.
        BreakerOpen = "breaker_open",
        /// A rig names no program for its agents.
        AgentCommandMissing = "agent_command_missing",
        /// Git is not there, or too old.
        GitUnusable = "git_unusable",
        /// A rig's remote does not answer, or has no branch to land on.
        RemoteUnusable = "remote_unusable",
        /// Agents end with this process.
        SessionsBound = "sessions_bound",
        /// A row cannot be read.
        RowUnreadable = "row_unreadable",
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Symptom {
    /// What it is.
    pub kind: SymptomKind,
    /// With what: an agent's bead, a session, a bead, a branch, a rig, a row; `town` where it is the whole.
    pub subject: String,
    /// Where, if it belongs to a rig.
    pub rig: Option<RigName>,
    /// What is wrong with it, in words.
    pub problem: String,
    /// What mends it, in words.
    pub remedy: String,
    /// Whether it was mended by this call.
    pub is_repaired: bool,
}

/// What a doctor found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is not as it should be; empty when all is well.
    pub symptoms: Vec<Symptom>,
    /// How many of them were mended.
    pub repaired: u64,
}

/// Looks, and mends where that is asked for.
///
/// What is looked at goes on meanwhile, so each thing is looked at again in the transaction that mends it.
pub(super) async fn doctor(handle: &Handle, operation: &'static Operation, input: Examine) -> Result<Diagnosis> {
    of_whole_town(handle)?;
    let mut symptoms = handle.ask(operation, input, |view, _| rows(view)).await?;
    for symptom in &mut symptoms {
        if input.repair
            && let Some(ailment) = ailment(symptom)
        {
            let ctx = handle.town().ctx();
            let heal =
                move |raw: &mut dyn Txn| command::step(raw, &ctx, "upkeep.doctor", |txn| ailments::heal(txn, &ailment));
            symptom.is_repaired = handle.town().shared.store.write(heal).await?;
        }
    }
    let unreadable = handle.town().shared.store.unreadable().await?;
    symptoms.extend(unreadable.into_iter().map(|row| {
        let problem = format!("it cannot be read: {}", row.error.chain());
        told(
            SymptomKind::RowUnreadable,
            row.key.to_string(),
            None,
            problem,
            "take it out with upkeep.quarantine, and mend or discard it",
        )
    }));
    #[cfg(all(feature = "git", feature = "process"))]
    outside::look(handle, input, &mut symptoms).await?;
    let repaired = symptoms.iter().filter(|symptom| symptom.is_repaired).count() as u64;
    Ok(Diagnosis { symptoms, repaired })
}

fn told(kind: SymptomKind, subject: impl Into<String>, rig: Option<RigName>, problem: String, remedy: &str) -> Symptom {
    Symptom { kind, subject: subject.into(), rig, problem, remedy: remedy.to_owned(), is_repaired: false }
}

/// What can be seen in the rows.
fn rows(view: View<'_>) -> Result<Vec<Symptom>> {
    let mut symptoms: Vec<Symptom> = ailments::find(view)?.into_iter().map(of_ailment).collect();
    let leader: Option<LeaderRow> = view.scan(Scan::new(&index::LEADERS, vec![], 1))?.pop();
    let lease = settings::duration(view, None, "engine.lease_ms")?;
    match leader.filter(|leader| leader.lease_until > view.now()) {
        Some(leader) if leader.lease_until > view.now().after(lease * 2) => {
            let problem = format!("{} leads until {}, longer than a lease holds", leader.holder, leader.lease_until);
            let remedy = "set the clock; the lease is cut to its length by the engine's next heartbeat";
            symptoms.push(told(SymptomKind::ClockBehind, "town", None, problem, remedy));
        }
        Some(_) => {}
        None => {
            let mut waiting = schedule::plan(view, schedule::BATCH)?.starts.len() as u64;
            for state in [SessionState::Planned, SessionState::Starting, SessionState::Running, SessionState::Finishing]
            {
                let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], usize::MAX);
                waiting += view.count(&scan)?;
            }
            if waiting > 0 {
                let problem = format!(
                    "{waiting} beads wait for their sessions to be started or looked after, and no engine runs"
                );
                symptoms.push(told(SymptomKind::EngineOff, "town", None, problem, "start the engine: town.start"));
            }
        }
    }
    let breakers: Vec<BreakerRow> = view.all(Scan::new(&index::BREAKERS, vec![], 0))?;
    for row in breakers.into_iter().filter(|row| row.state == BreakerState::Open) {
        let reason = row.reason.unwrap_or_default();
        let problem = format!("no session is started after {} failures in a row; the last: {reason}", row.failures);
        let remedy = "mend what the reason names; it tries by itself whether all is well again";
        symptoms.push(told(SymptomKind::BreakerOpen, row.subject, row.rig, problem, remedy));
    }
    let rigs: Vec<RigRow> = view.all(Scan::new(&index::RIGS, vec![], 0))?;
    for rig in rigs {
        let command: Option<Vec<String>> = settings::resolve(view, Some(&rig.name), "agent.command")?;
        if command.is_none() {
            let problem = "its agents have no program to run".to_owned();
            let (kind, remedy) = (SymptomKind::AgentCommandMissing, "set agent.command with rigs.configure");
            symptoms.push(told(kind, rig.name.to_string(), Some(rig.name), problem, remedy));
        }
    }
    Ok(symptoms)
}

fn of_ailment(ailment: ailments::Ailment) -> Symptom {
    use crate::work::ailments::AilmentKind as A;
    let (kind, remedy) = match ailment.kind {
        A::HookOrphaned => (SymptomKind::HookOrphaned, "its hook is emptied"),
        A::SessionOrphaned => (SymptomKind::SessionOrphaned, "it is stopped, as superseded"),
        A::SessionUnwatched => (SymptomKind::SessionUnwatched, "it is looked at by the engine"),
        A::BeadUnheld => (SymptomKind::BeadUnheld, "it is opened again"),
        A::ReviewMissing => (SymptomKind::ReviewMissing, "it is opened again and parked, so that somebody looks"),
    };
    told(kind, ailment.subject, None, ailment.problem, remedy)
}

fn ailment(symptom: &Symptom) -> Option<ailments::Ailment> {
    let kind = *ailments::AilmentKind::ALL.iter().find(|kind| kind.as_str() == symptom.kind.as_str())?;
    Some(ailments::Ailment { kind, subject: symptom.subject.clone(), problem: symptom.problem.clone() })
}

#[cfg(all(feature = "git", feature = "process"))]
mod outside {
    use super::{Examine, Handle, Result, RigRow, Scan, Symptom, SymptomKind, View, index, told};
    use crate::executor::orphans;
    use crate::git::{BranchName, RemoteUrl};
    use crate::model::Scope;
    use crate::store::Reader;
    use crate::work::orphans::OrphanKind;

    /// Looks at this machine and at the remotes.
    pub(super) async fn look(handle: &Handle, input: Examine, symptoms: &mut Vec<Symptom>) -> Result<()> {
        let town = handle.town();
        if !town.runtime().capabilities().survives_host {
            let problem = "agents end with this process, for no supervisor was found".to_owned();
            let remedy = "name one: program, Town::builder(…).supervisor, or the program gastown on the PATH";
            symptoms.push(told(SymptomKind::SessionsBound, "town", None, problem, remedy));
        }
        let outside = match town.outside().await {
            Ok(outside) => outside,
            Err(error) => {
                let remedy = "install git, or name it where the town is opened";
                symptoms.push(told(SymptomKind::GitUnusable, "town", None, error.chain(), remedy));
                return Ok(());
            }
        };
        let now = town.ctx().now;
        let all = move |reader: &dyn Reader| {
            View::new(reader, &Scope::Town, now).all::<RigRow>(Scan::new(&index::RIGS, vec![], 0))
        };
        for rig in town.shared.store.read(all).await? {
            let look = async {
                let (url, target) = (RemoteUrl::new(&rig.remote)?, BranchName::new(rig.target.clone())?);
                outside.repositories.inspect(&url, &target).await
            };
            if let Err(error) = look.await {
                let (kind, remedy) = (SymptomKind::RemoteUnusable, "mend the remote or the way to it");
                symptoms.push(told(kind, rig.name.to_string(), Some(rig.name), error.chain(), remedy));
            }
        }
        let ctx = || town.ctx();
        for orphan in orphans::find(&town.shared.store, &outside, &ctx).await? {
            let kind = match orphan.kind {
                OrphanKind::Process => SymptomKind::ProcessOrphaned,
                OrphanKind::Workspace => SymptomKind::WorkspaceOrphaned,
                OrphanKind::GateTree => SymptomKind::GateTreeOrphaned,
                OrphanKind::MirrorBranch => SymptomKind::MirrorBranchOrphaned,
                OrphanKind::RemoteBranch => SymptomKind::RemoteBranchOrphaned,
            };
            let remedy = match orphan.due {
                None => "nobody knows what it is worth: look at it, and remove it by hand",
                // It is kept for a while, and nothing is wrong with that.
                Some(due) if due > town.ctx().now => continue,
                Some(_) => "the engine removes it",
            };
            let problem = format!("nobody needs this {} any more: {}", orphan.kind, orphan.why);
            let mut symptom = told(kind, orphan.subject.clone(), orphan.rig.clone(), problem, remedy);
            if input.repair && orphan.due.is_some() {
                match orphans::remove(&town.shared.store, &outside, &ctx, &orphan).await {
                    Ok(()) => symptom.is_repaired = true,
                    Err(error) => {
                        symptom.problem = format!("{}; it cannot be removed: {}", symptom.problem, error.chain());
                    }
                }
            }
            symptoms.push(symptom);
        }
        Ok(())
    }
}

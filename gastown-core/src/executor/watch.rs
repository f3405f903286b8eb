//! Waiting for sessions to end, and bringing home what they left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::context::Context;
use super::desk::Desk;
use super::pump::Watched;
use super::sweep::Sweeping;
use super::traced;
use crate::failpoint;
use crate::git::{BranchName, Person, SaveSpec};
use crate::model::{AgentRow, ErrorKind, Key, Oid, Result, SessionExit, SessionRow, SessionState, Timestamp};
use crate::mutant::{self, Mutant};
use crate::runtime::{ExitOutcome, ExitRecord};
use crate::store::{Scan, index};
use crate::work::drain;
use crate::work::outcome::{self, Ended};
use crate::work::settings;
use crate::work::txn::ScopedTxn;
use crate::work::view::text;

/// How often something that is out of order for now is tried again before the session counts as lost.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// The most sessions that one look adopts.
pub(super) const ADOPTED_MAX: usize = 256;

/// The sessions of running processes that nobody here waits for, at most [`ADOPTED_MAX`].
pub(super) fn unwatched(txn: &ScopedTxn<'_>, watched: &Watched) -> Result<Vec<SessionRow>> {
    let mut found = Vec::new();
    if mutant::lives(Mutant::SurvivorsUnwatched) {
        return Ok(found);
    }
    for state in [SessionState::Running, SessionState::Finishing] {
        let scan = Scan::new(&index::SESSIONS_BY_STATE, vec![text(state.as_str())], 0);
        txn.view().walk::<SessionRow>(scan, |row| {
            // One that is being stopped before its start was reported is not there yet.
            if row.started_at.is_some() && !watched.contains(&row.id) {
                found.push(row);
            }
            Ok(found.len() < ADOPTED_MAX)
        })?;
    }
    Ok(found)
}

/// The tasks that wait for sessions, one for each.
#[derive(Clone)]
pub(super) struct Watchers {
    context: Context,
    stop: CancellationToken,
    watched: Arc<Mutex<Watched>>,
    /// Whether there may be sessions that nobody here waits for: looking for them asks about every one that runs.
    seeks: Arc<AtomicBool>,
    sweeping: Arc<Sweeping>,
}

impl Watchers {
    pub(super) fn new(context: Context, stop: CancellationToken, sweeping: Arc<Sweeping>) -> Self {
        Self { context, stop, watched: Arc::default(), seeks: Arc::default(), sweeping }
    }

    /// The next look is to seek sessions that nobody here waits for.
    pub(super) fn seek(&self) {
        self.seeks.store(true, Ordering::SeqCst);
    }

    /// The sessions that are waited for, where others are to be sought now.
    pub(super) fn sought(&self) -> Option<Watched> {
        let seeks = self.seeks.swap(false, Ordering::SeqCst);
        seeks.then(|| self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Waits for the session in a task of its own and reports how it ended; nothing where one waits already.
    pub(super) fn watch(&self, session: SessionRow) {
        if !self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id.clone()) {
            return;
        }
        let this = self.clone();
        let span = traced::session(self.context.store.town(), &session);
        let attended = async move {
            tokio::select! {
                biased;
                () = attend(&this.context, &session) => this.sweeping.session_ended(),
                () = this.stop.cancelled() => {}
            }
            this.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
            // Its end may not have been recorded.
            this.seek();
        };
        tokio::spawn(attended.instrument(span));
    }
}

async fn attend(context: &Context, session: &SessionRow) {
    tracing::debug!("a session is waited for");
    let mut tries = 0;
    let record = loop {
        match context.outside.runtime.wait(&session.id).await {
            Ok(record) => break record,
            Err(error) if tries < TRIES => {
                tries += 1;
                tracing::warn!(session = %session.id, error = %error.chain(), "a session cannot be waited for");
                tokio::time::sleep(PAUSE * tries).await;
            }
            Err(error) => break lost(context, session, &error.chain()),
        }
    };
    let ended = outcome(context, session, &record).await;
    let (id, epoch) = (session.id.clone(), session.epoch);
    let mut tries = 0;
    loop {
        let (id, ended) = (id.clone(), ended.clone());
        match context.step("session.end", move |txn| outcome::end(txn, &id, epoch, &ended)).await {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Unavailable && error.code() != "store_closed" && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE * tries).await;
            }
            // It is still running in the database, so the next look waits for it again.
            Err(error) => {
                tracing::error!(session = %session.id, error = %error.chain(), "an end could not be recorded");
                return;
            }
        }
    }
    failpoint::pass("outcome.recorded");
}

fn lost(context: &Context, session: &SessionRow, why: &str) -> ExitRecord {
    tracing::error!(session = %session.id, why, "a session is lost");
    ExitRecord::new(session.id.clone(), ExitOutcome::Lost, context.now())
}

/// How it ended and what it left, in the words of the work.
async fn outcome(context: &Context, session: &SessionRow, record: &ExitRecord) -> Ended {
    let exit = match &record.outcome {
        ExitOutcome::Exited { code: 0 } => SessionExit::Succeeded,
        ExitOutcome::Exited { code } => meaning(context, session, *code).await,
        ExitOutcome::Signalled { .. } => SessionExit::Crashed,
        ExitOutcome::TimedOut => SessionExit::TimedOut,
        ExitOutcome::Stopped => SessionExit::Cancelled,
        ExitOutcome::StartFailed { .. } => SessionExit::Refused,
        ExitOutcome::Lost => SessionExit::Lost,
    };
    let reason = record.outcome.to_string();
    let mut tries = 0;
    loop {
        match bring_home(context, session, exit, record).await {
            Ok((head, Ok(saved))) => return Ended { exit, reason, head, saved, keep_workspace: false },
            Ok((_, Err(error))) if tries < worth_trying(error.kind()) => {
                tries += 1;
                tokio::time::sleep(PAUSE * tries).await;
            }
            // Its commits are home; what it had not committed lies where it is.
            Ok((head, Err(error))) => {
                let place = context.outside.desk.workspace(&session.id);
                let reason = format!(
                    "{reason}; what it had not committed could not be saved: {}; its workspace is kept: {}",
                    error.chain(),
                    place.display()
                );
                return Ended { exit, reason, head, saved: None, keep_workspace: true };
            }
            Err(error) if tries < worth_trying(error.kind()) => {
                tries += 1;
                tokio::time::sleep(PAUSE * tries).await;
            }
            Err(error) => {
                let exit = match (exit, error.kind()) {
                    (SessionExit::Succeeded, ErrorKind::Unavailable | ErrorKind::Internal | ErrorKind::Conflict) => {
                        SessionExit::Lost
                    }
                    (SessionExit::Succeeded, _) => SessionExit::ProtocolError,
                    (exit, _) => exit,
                };
                // What an agent damaged is its own loss; what the machine kept us from taking stays where it is.
                let keep_workspace = worth_trying(error.kind()) == TRIES;
                let mut reason = format!("{reason}; its work could not be brought home: {}", error.chain());
                if keep_workspace {
                    let place = context.outside.desk.workspace(&session.id);
                    reason = format!("{reason}; its workspace is kept: {}", place.display());
                }
                return Ended { exit, reason, head: None, saved: None, keep_workspace };
            }
        }
    }
}

/// What the rig says that an exit code means.
async fn meaning(context: &Context, session: &SessionRow, code: i32) -> SessionExit {
    let rig = session.rig.clone();
    let codes = context
        .read(move |view| settings::resolve::<BTreeMap<String, SessionExit>>(view, Some(&rig), "agent.exit_codes"))
        .await;
    match codes {
        Ok(codes) => codes.get(&code.to_string()).copied().unwrap_or(SessionExit::Failed),
        Err(error) => {
            tracing::warn!(session = %session.id, error = %error.chain(), "what an exit code means cannot be read");
            SessionExit::Failed
        }
    }
}

/// How often bringing work home is tried again after such an error.
const fn worth_trying(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Internal | ErrorKind::Conflict => TRIES,
        // What looks damaged may be a repository that somebody else is writing at the same moment.
        ErrorKind::Corrupt => 1,
        _ => 0,
    }
}

/// Brings the session's commits into the mirror, and where it did not end with commits as it should, also what it had
/// not committed.
async fn bring_home(
    context: &Context,
    session: &SessionRow,
    exit: SessionExit,
    record: &ExitRecord,
) -> Result<(Option<Oid>, Result<Option<Oid>>)> {
    let head = collect(context, session).await?;
    let is_done = exit == SessionExit::Succeeded && head.is_some();
    let parent = head.as_ref().or(session.base.as_ref()).filter(|_| !is_done);
    let Some(parent) = parent else {
        failpoint::pass("outcome.collected");
        return Ok((head, Ok(None)));
    };
    let saved = save(context, session, parent, record).await;
    failpoint::pass("outcome.collected");
    Ok((head, saved))
}

/// Keeps what the session had not committed on top of `parent`.
async fn save(context: &Context, session: &SessionRow, parent: &Oid, record: &ExitRecord) -> Result<Option<Oid>> {
    let agent = session.agent.clone();
    let agent = context.read(move |view| view.find::<AgentRow>(&Key::agent(&agent))).await?;
    let name = agent.map_or_else(|| session.agent.to_string(), |agent| agent.name.to_string());
    let spec = what_is_left(&context.outside.desk, session, parent, &name, record.ended_at)?;
    context.repository(&session.rig).await?.save(&spec).await
}

/// What of the session's workspace is kept besides its commits, the last of which is `parent`.
pub(super) fn what_is_left(
    desk: &Desk,
    session: &SessionRow,
    parent: &Oid,
    agent: &str,
    time: Timestamp,
) -> Result<SaveSpec> {
    Ok(SaveSpec {
        workspace: desk.workspace(&session.id),
        parent: parent.clone(),
        branch: BranchName::new(drain::branch(session))?,
        message: format!("What {agent} had not committed of {}\n\nSession: {}\n", session.bead, session.id),
        author: Person { email: format!("{agent}@gastown.invalid"), name: agent.to_owned() },
        time,
    })
}

/// Brings the session's commits into the mirror; none where it left nothing new.
async fn collect(context: &Context, session: &SessionRow) -> Result<Option<Oid>> {
    let repository = context.repository(&session.rig).await?;
    let branch = BranchName::new(session.branch.clone())?;
    let workspace = context.outside.desk.workspace(&session.id);
    let head = repository.collect(&workspace, &branch).await?;
    Ok(head.filter(|head| session.base.as_ref() != Some(head)))
}

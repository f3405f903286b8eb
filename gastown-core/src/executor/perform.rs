//! One effect at a time: done, or found out.

use std::collections::BTreeMap;
#[cfg(feature = "auth")]
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::context::{Context, refinery};
use super::gate;
#[cfg(feature = "auth")]
use crate::auth::{Authority, Draft};
use crate::failpoint;
use crate::git::{
    BranchName, DeleteOutcome, MergeOutcome, MergeSpec, Person, PublishOutcome, Repository, WorkspaceSpec,
};
use crate::model::{
    BeadId, BeadRow, Error, ErrorKind, Oid, Order, Part, Result, RigName, SessionId, SessionRow, Setback, Timestamp,
};
#[cfg(feature = "auth")]
use crate::model::{CapabilityId, Scope, SecretText};
use crate::runtime::{ExitOutcome, SessionSpec, SessionState};
use crate::work::effects::{Done, Failed, Issued, Report};
use crate::work::outcome::{self, Carried, REWORK_KEY};
use crate::work::sessions;
use crate::work::{beads, handoff, settings};

/// Performs or probes the effect.
pub(super) async fn perform(context: &Context, issued: &Issued) -> Report {
    match attempt(context, issued).await {
        Ok(report) => report,
        Err(error) => {
            let part = if error.fact(PART) == Some(Part::Runtime.as_str()) { Part::Runtime } else { Part::Rig };
            Report::Failed(Failed { setback: setback(&error), part, reason: in_words(&error) })
        }
    }
}

/// The fact of an error that says whose part of the outside world failed.
const PART: &str = "part";

/// Whether another try may help: what cannot be right, may not be done or is damaged stays so.
fn setback(error: &Error) -> Setback {
    match (error.kind(), error.code()) {
        (_, "auth_failed") => Setback::Auth,
        (ErrorKind::NotFound, _) | (_, "target_missing") => Setback::Gone,
        (ErrorKind::Invalid | ErrorKind::Forbidden | ErrorKind::Corrupt | ErrorKind::Unsupported, _) => {
            Setback::Refused
        }
        _ => Setback::Transient,
    }
}

/// The error with its causes, and what a program outside said about it.
fn in_words(error: &Error) -> String {
    let said = ["remote_says", "stderr"].into_iter().find_map(|name| error.fact(name).filter(|said| !said.is_empty()));
    match said {
        Some(said) => format!("{}: {said}", error.chain()),
        None => error.chain(),
    }
}

async fn attempt(context: &Context, issued: &Issued) -> Result<Report> {
    let probe = issued.probe;
    match &issued.order {
        Order::Start { session, .. } if probe => probe_start(context, session).await,
        Order::Start { session, rig, .. } => in_time(context, rig, start(context, session)).await,
        Order::Nudge { session, bead, .. } => nudge(context, session, bead).await,
        Order::Notice { session, until, .. } => notice(context, session, *until).await,
        Order::Stop { session, rig } => stop(context, session, rig).await,
        Order::Publish { rig, branch, head, .. } | Order::Save { rig, branch, head, .. } => {
            publish(context, rig, branch, head, probe).await
        }
        Order::Branch { rig, branch, from, holds, .. } => make_branch(context, rig, branch, from, holds.as_ref()).await,
        Order::Merge { review, rig, target, head, message, at } => {
            merge(context, review, rig, target, head, message, *at).await
        }
        Order::Gate { review, rig, commit } => gate::run(context, review, rig, commit).await,
        Order::Land { review, rig, target, expected, commit } => {
            land(context, review, rig, target, expected, commit).await
        }
        Order::Cleanup { session, rig } => cleanup(context, session, rig).await,
        Order::DeleteBranch { rig, branch, expected, work } => {
            delete_branch(context, rig, branch, expected, work).await
        }
    }
}

/// Waits for a start as long as the setting says. One that takes longer is taken by the next try, which looks for it
/// first.
async fn in_time(context: &Context, rig: &RigName, start: impl Future<Output = Result<Report>>) -> Result<Report> {
    let name = rig.clone();
    let within = context.read(move |view| settings::duration(view, Some(&name), "session.start_timeout_ms")).await?;
    if let Ok(report) = tokio::time::timeout(within, start).await {
        return report;
    }
    let reason = format!("it did not start within {} s", within.as_secs_f32());
    Ok(Report::Failed(Failed { setback: Setback::Transient, part: Part::Runtime, reason }))
}

/// Says to the agent that there is work on its hook, where its runtime can.
async fn nudge(context: &Context, session: &SessionId, bead: &BeadId) -> Result<Report> {
    let words = format!("There is work on your hook: {bead}. Go on with it, or say what keeps you.\n");
    match context.outside.runtime.send(session, words.as_bytes()).await {
        Ok(()) => Ok(Report::Done(Done::Plainly)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Report::Done(Done::Unheard)),
        Err(error) => Err(error),
    }
}

/// Says to the agent that its host is going away, where its runtime can.
async fn notice(context: &Context, session: &SessionId, until: Timestamp) -> Result<Report> {
    let left = until.since(context.now()).as_secs();
    let words = format!(
        "This machine is going away in {left} seconds. Commit what you have, or leave a checkpoint; another session goes \
         on from there.\n"
    );
    match context.outside.runtime.send(session, words.as_bytes()).await {
        Ok(()) => Ok(Report::Done(Done::Plainly)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Report::Done(Done::Unheard)),
        Err(error) => Err(error),
    }
}

/// What a session is started with.
struct Brief {
    session: SessionRow,
    bead: BeadRow,
    text: Json,
    carried: Option<Carried>,
    saved: Option<Oid>,
    command: Option<Vec<String>>,
    agent: String,
    env: BTreeMap<String, String>,
    /// Who it is to the town; none where its agent's row is gone.
    #[cfg(feature = "auth")]
    scope: Option<Scope>,
    timeout: Duration,
    grace: Duration,
    output_bytes_max: u64,
    events_bytes_max: u64,
}

async fn brief(context: &Context, id: &SessionId) -> Result<Brief> {
    let id = id.clone();
    context
        .read(move |view| {
            let session = sessions::row(view, &id)?;
            let bead = view.bead(&session.bead)?;
            let whole = beads::get(view, &(&bead.id).into())?;
            let agent = view.find(&crate::model::Key::agent(&session.agent))?;
            let agent =
                agent.map_or_else(|| session.agent.to_string(), |row: crate::model::AgentRow| row.name.to_string());
            let rig = Some(&session.rig);
            Ok(Brief {
                command: settings::resolve(view, rig, "agent.command")?,
                env: settings::resolve(view, rig, "agent.environment")?,
                #[cfg(feature = "auth")]
                scope: match sessions::scope(view, &id) {
                    Ok(scope) => Some(scope),
                    Err(error) if error.code() == "agent_missing" => None,
                    Err(error) => return Err(error),
                },
                timeout: settings::duration(view, rig, "session.timeout_ms")?,
                grace: settings::duration(view, rig, "session.grace_ms")?,
                output_bytes_max: settings::resolve(view, rig, "session.output_bytes_max")?,
                events_bytes_max: settings::resolve(view, rig, "session.events_bytes_max")?,
                carried: outcome::carried(view, &bead.id, session.epoch)?,
                saved: outcome::saved(view, &bead.id, session.epoch)?,
                text: json!({ "bead": whole, "checkpoint": handoff::left(view, &bead.id, session.epoch)? }),
                agent,
                session,
                bead,
            })
        })
        .await
}

async fn start(context: &Context, id: &SessionId) -> Result<Report> {
    failpoint::pass("start.claimed");
    // One that is known was started before, so nothing is made for it again.
    if context.outside.runtime.inspect(id).await?.state != SessionState::Absent {
        return probe_start(context, id).await;
    }
    let mut brief = brief(context, id).await?;
    let Some(command) = brief.command.take() else {
        return Ok(Report::Refused { reason: "the setting agent.command names no program".to_owned() });
    };
    let rig = brief.session.rig.clone();
    let repository = context.repository(&rig).await?;
    repository.fetch().await?;
    let (base, files) = base(repository.as_ref(), &brief).await?;
    let workspace = context.outside.desk.workspace(id);
    context.outside.desk.make(id).await?;
    let spec = WorkspaceSpec {
        path: workspace.clone(),
        branch: BranchName::new(brief.session.branch.clone())?,
        base: base.clone(),
        author: Person { name: brief.agent.clone(), email: format!("{}@gastown.invalid", brief.agent) },
        upstream: Some(BranchName::new(brief.session.target.clone())?),
        files,
    };
    // What an earlier try made for an older tip was used by nobody.
    repository.remove_workspace(&workspace).await?;
    repository.prepare_workspace(&spec).await?;
    brief.text["base"] = json!(base);
    brief.text["saved"] = json!(brief.saved);
    context.outside.desk.lay(id, &brief.text).await?;
    let mut spec = SessionSpec::new(id.clone(), command, workspace);
    spec.env = environment(context, &brief, &base, &context.outside.desk.brief(id).to_string_lossy());
    spec.timeout = Some(brief.timeout);
    spec.grace = brief.grace;
    spec.output_bytes_max = brief.output_bytes_max;
    spec.events_bytes_max = brief.events_bytes_max;
    #[cfg(feature = "auth")]
    if let (Some(authority), Some(scope)) = (context.outside.authority.clone(), brief.scope) {
        spec.capability = Some(capability(authority, id, scope, context.now(), brief.timeout + brief.grace).await?);
    }
    let status = context.outside.runtime.start(&spec).await.map_err(|error| error.with(PART, Part::Runtime))?;
    failpoint::pass("start.spawned");
    Ok(started(status.state, base))
}

/// The token of a session's agent. It holds for longer than the session can run; what ends it is the epoch.
#[cfg(feature = "auth")]
async fn capability(
    authority: Arc<Authority>,
    session: &SessionId,
    scope: Scope,
    now: Timestamp,
    ttl: Duration,
) -> Result<SecretText> {
    /// What starting it may take beside.
    const SLACK: Duration = Duration::from_secs(600);
    let draft = Draft {
        id: CapabilityId::of_session(session),
        scope,
        verbs: None,
        chain: Vec::new(),
        issued_at: now,
        expires_at: now.after(ttl + SLACK),
    };
    let issued = tokio::task::spawn_blocking(move || authority.issue(draft)).await;
    let (_, token) = issued.map_err(|_| Error::internal("executor_panicked", "signing a token panicked"))??;
    Ok(token)
}

fn started(state: SessionState, base: Oid) -> Report {
    match state {
        SessionState::Exited(record) if matches!(record.outcome, ExitOutcome::StartFailed { .. }) => {
            Report::Refused { reason: record.outcome.to_string() }
        }
        SessionState::Absent => Report::Absent,
        _ => Report::Done(Done::Started { base }),
    }
}

async fn probe_start(context: &Context, id: &SessionId) -> Result<Report> {
    let status = context.outside.runtime.inspect(id).await?;
    if status.state == SessionState::Absent {
        return Ok(Report::Absent);
    }
    let brief = context.outside.desk.read(id).await?;
    let base = brief["base"].as_str();
    let base = base.ok_or_else(|| Error::corrupt("brief_unreadable", format!("the brief of {id} names no base")))?;
    let base = Oid::new(base)?;
    Ok(started(status.state, base))
}

/// The commit a session starts from: what was handed on or sent back, else the tip of the branch its work is meant for;
/// and the commit whose files lie in its workspace besides, where an earlier session left some uncommitted.
async fn base(repository: &dyn Repository, brief: &Brief) -> Result<(Oid, Option<Oid>)> {
    // What was handed on is newer than what was sent back.
    if let Some(Carried { head, saved }) = &brief.carried
        && repository.commit_exists(head).await?
    {
        let files = match saved {
            Some(saved) if repository.commit_exists(saved).await? => Some(saved.clone()),
            _ => None,
        };
        return Ok((head.clone(), files));
    }
    if let Some(head) = brief.bead.metadata[REWORK_KEY]["head"].as_str() {
        let head = Oid::new(head)?;
        if repository.commit_exists(&head).await? {
            return Ok((head, None));
        }
    }
    let target = BranchName::new(brief.session.target.clone())?;
    let tip = repository.branch(&target).await?.ok_or_else(|| {
        Error::unavailable("target_missing", format!("the remote has no branch {target}")).with("branch", &target)
    })?;
    Ok((tip, None))
}

fn environment(context: &Context, brief: &Brief, base: &Oid, file: &str) -> BTreeMap<String, String> {
    let mut env = brief.env.clone();
    let rework = &brief.bead.metadata[REWORK_KEY];
    for (name, value) in [
        ("TOWN", context.store.town().to_string()),
        ("RIG", brief.session.rig.to_string()),
        ("BEAD", brief.bead.id.to_string()),
        ("TITLE", brief.bead.title.clone()),
        ("AGENT", brief.agent.clone()),
        ("SESSION", brief.session.id.to_string()),
        ("EPOCH", brief.session.epoch.to_string()),
        ("FAILURES", brief.bead.failures.saturating_add(brief.bead.agent_failures).to_string()),
        ("BRANCH", brief.session.branch.clone()),
        ("TARGET", brief.session.target.clone()),
        ("BASE", base.to_string()),
        ("BRIEF", file.to_owned()),
        ("SAVED", brief.saved.as_ref().map_or_else(String::new, ToString::to_string)),
        ("REWORK", rework["reason"].as_str().unwrap_or("").to_owned()),
    ] {
        env.insert(format!("GASTOWN_{name}"), value.replace('\0', ""));
    }
    #[cfg(feature = "auth")]
    if let Some(socket) = &context.outside.socket {
        env.insert(crate::socket::SOCKET_VAR.to_owned(), socket.to_string_lossy().into_owned());
    }
    env
}

async fn stop(context: &Context, session: &SessionId, rig: &RigName) -> Result<Report> {
    let name = rig.clone();
    let grace = context.read(move |view| settings::duration(view, Some(&name), "session.grace_ms")).await?;
    context.outside.runtime.stop(session, grace).await?;
    Ok(Report::Done(Done::Plainly))
}

async fn publish(context: &Context, rig: &RigName, branch: &str, head: &Oid, probe: bool) -> Result<Report> {
    let repository = context.repository(rig).await?;
    let branch = BranchName::new(branch)?;
    let there = repository.remote_branch(&branch).await?;
    if there.as_ref() == Some(head) {
        return Ok(Report::Done(Done::Plainly));
    }
    if probe {
        return Ok(Report::Absent);
    }
    let outcome = repository.publish(&branch, head, there.as_ref()).await?;
    failpoint::pass("publish.pushed");
    Ok(match outcome {
        PublishOutcome::Published | PublishOutcome::AlreadyThere => Report::Done(Done::Plainly),
        PublishOutcome::Moved { actual } => {
            Report::Retry { reason: format!("{branch} was moved by somebody else to {actual:?}") }
        }
    })
}

/// Makes the convoy's branch, or finds it; finding it there is the same, so a probe needs no way of its own.
async fn make_branch(
    context: &Context,
    rig: &RigName,
    branch: &str,
    from: &str,
    holds: Option<&Oid>,
) -> Result<Report> {
    let repository = context.repository(rig).await?;
    let (branch, from) = (BranchName::new(branch)?, BranchName::new(from)?);
    repository.fetch().await?;
    if let Some(oid) = repository.remote_branch(&branch).await? {
        return found_branch(repository.as_ref(), &branch, oid, holds).await;
    }
    let tip = match holds {
        Some(held) => held.clone(),
        None => repository.branch(&from).await?.ok_or_else(|| {
            Error::unavailable("target_missing", format!("the remote has no branch {from}")).with("branch", &from)
        })?,
    };
    match repository.publish(&branch, &tip, None).await? {
        PublishOutcome::Published | PublishOutcome::AlreadyThere => Ok(Report::Done(Done::Branched { oid: tip })),
        PublishOutcome::Moved { actual: Some(oid) } => found_branch(repository.as_ref(), &branch, oid, holds).await,
        PublishOutcome::Moved { actual: None } => Ok(Report::Retry { reason: format!("{branch} was removed again") }),
    }
}

/// Takes a branch that is there, unless it lost what was merged into it.
async fn found_branch(
    repository: &dyn Repository,
    branch: &BranchName,
    oid: Oid,
    holds: Option<&Oid>,
) -> Result<Report> {
    if let Some(held) = holds {
        repository.fetch().await?;
        if !repository.contains(held, &oid).await? {
            let reason = format!("{branch} holds {oid} at the remote, without {held} that was merged into it");
            return Ok(Report::Refused { reason });
        }
    }
    Ok(Report::Done(Done::Branched { oid }))
}

async fn merge(
    context: &Context,
    review: &BeadId,
    rig: &RigName,
    target: &str,
    head: &Oid,
    message: &str,
    at: Timestamp,
) -> Result<Report> {
    let repository = context.repository(rig).await?;
    let branch = BranchName::new(target)?;
    repository.fetch().await?;
    let target = repository.branch(&branch).await?.ok_or_else(|| {
        Error::unavailable("target_missing", format!("the remote has no branch {branch}")).with("branch", &branch)
    })?;
    let spec = MergeSpec {
        target: target.clone(),
        head: head.clone(),
        message: message.to_owned(),
        committer: refinery(),
        time: at,
    };
    Ok(match repository.merge(&spec).await {
        Ok(MergeOutcome::Merged { commit }) => {
            repository.keep(&keep_name(review), &commit).await?;
            failpoint::pass("merge.built");
            Report::Done(Done::Merged { target, commit })
        }
        Ok(MergeOutcome::AlreadyContained) => Report::Done(Done::Contained { target }),
        Ok(MergeOutcome::Conflict { files }) => Report::Done(Done::Conflict { target, files }),
        Err(error) if error.code() == "histories_unrelated" => Report::Refused { reason: error.chain() },
        Err(error) => return Err(error),
    })
}

/// Moves the target; asking first whether it was moved already makes a probe and a repeat the same.
async fn land(
    context: &Context,
    review: &BeadId,
    rig: &RigName,
    target: &str,
    expected: &Oid,
    commit: &Oid,
) -> Result<Report> {
    let repository = context.repository(rig).await?;
    let branch = BranchName::new(target)?;
    if !is_here(repository.as_ref(), commit).await? {
        return Ok(Report::Done(Done::Unbuilt));
    }
    let actual = repository.remote_branch(&branch).await?;
    let report = if actual.as_ref() == Some(expected) {
        match repository.publish(&branch, commit, Some(expected)).await? {
            PublishOutcome::Published | PublishOutcome::AlreadyThere => Report::Done(Done::Plainly),
            PublishOutcome::Moved { actual } => after_move(repository.as_ref(), commit, actual).await?,
        }
    } else {
        after_move(repository.as_ref(), commit, actual).await?
    };
    failpoint::pass("land.pushed");
    if matches!(report, Report::Done(Done::Plainly)) {
        repository.release(&keep_name(review)).await?;
    }
    Ok(report)
}

/// Whether a merge commit is on this machine; one that landed comes with a fetch.
pub(super) async fn is_here(repository: &dyn Repository, commit: &Oid) -> Result<bool> {
    if repository.commit_exists(commit).await? {
        return Ok(true);
    }
    repository.fetch().await?;
    repository.commit_exists(commit).await
}

/// Whether the target, which is not what it was, holds our commit already.
async fn after_move(repository: &dyn Repository, commit: &Oid, actual: Option<Oid>) -> Result<Report> {
    if let Some(tip) = &actual {
        repository.fetch().await?;
        if tip == commit || (repository.commit_exists(tip).await? && repository.contains(commit, tip).await?) {
            return Ok(Report::Done(Done::Plainly));
        }
    }
    Ok(Report::Done(Done::Moved { actual }))
}

fn keep_name(review: &BeadId) -> String {
    format!("merge/{review}")
}

async fn cleanup(context: &Context, session: &SessionId, rig: &RigName) -> Result<Report> {
    let repository = context.repository(rig).await?;
    repository.remove_workspace(&context.outside.desk.workspace(session)).await?;
    context.outside.desk.clear(session).await?;
    Ok(Report::Done(Done::Plainly))
}

async fn delete_branch(
    context: &Context,
    rig: &RigName,
    branch: &str,
    expected: &Oid,
    work: &[String],
) -> Result<Report> {
    let repository = context.repository(rig).await?;
    let branch = BranchName::new(branch)?;
    for name in work {
        repository.delete_branch(&BranchName::new(name.clone())?).await?;
    }
    Ok(match repository.delete_remote_branch(&branch, expected).await? {
        DeleteOutcome::Deleted | DeleteOutcome::Absent => {
            repository.delete_branch(&branch).await?;
            Report::Done(Done::Plainly)
        }
        DeleteOutcome::Moved { actual } => {
            Report::Refused { reason: format!("{branch} holds {actual} and not {expected}; it stays") }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_another_try_may_help() {
        for (error, wanted) in [
            (Error::forbidden("auth_failed", "the remote refused the credentials"), Setback::Auth),
            (Error::not_found("repository_missing", "there is no repository at the remote"), Setback::Gone),
            (Error::unavailable("target_missing", "the remote has no branch main"), Setback::Gone),
            (Error::forbidden("protocol_refused", "this kind of address is not allowed"), Setback::Refused),
            (Error::invalid("remote_malformed", "it is no address"), Setback::Refused),
            (Error::corrupt("brief_unreadable", "it cannot be read"), Setback::Refused),
            (Error::unavailable("remote_unreachable", "the remote does not answer"), Setback::Transient),
            (Error::conflict("branch_moved", "somebody else was there"), Setback::Transient),
            (Error::internal("task_lost", "a defect"), Setback::Transient),
        ] {
            assert_eq!(setback(&error), wanted, "{error:?}");
        }
    }
}

//! Finding and removing what is left outside and nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use crate::git::{BranchName, Repository};
use crate::model::{Key, Result, RigRow, Scope, SessionId, SessionRow, Timestamp};
use crate::runtime::SessionState;
use crate::store::{Reader, Scan, Store, Txn, index};
use crate::work::command;
use crate::work::orphans::{self, Orphan, OrphanKind, Outdoors};
use crate::work::txn::Ctx;
use crate::work::view::View;

use super::context::Outside;
use super::watch::what_is_left;

/// What a stray process has between being asked to end and being made to.
const GRACE: Duration = Duration::from_secs(10);

/// Looks for orphans on this machine.
///
/// Nothing is fetched: branches of the remote are those of the last fetch. A rig whose mirror cannot be opened is told and
/// passed over.
pub(crate) async fn find(
    store: &Store,
    outside: &Outside,
    ctx: &(dyn Fn() -> Ctx + Send + Sync),
) -> Result<Vec<Orphan>> {
    // What is there comes first: what begins meanwhile has its rows by the time they are asked.
    let mut there = Outdoors::default();
    for status in outside.runtime.list().await? {
        if matches!(status.state, SessionState::Starting | SessionState::Running) {
            there.processes.push(status.session);
        }
    }
    there.workspaces = outside.desk.sessions().await?;
    there.gates = outside.desk.gates(&outside.gates).await?;
    for rig in rigs(store, ctx().now).await? {
        let listed = match outside.repository(&rig.name, &rig.remote).await {
            Ok(repository) => repository.branches("gt/").await,
            Err(error) => Err(error),
        };
        match listed {
            Ok(branches) => {
                there.branches.extend(branches.into_iter().map(|(branch, oid)| (rig.name.clone(), branch, oid)));
            }
            Err(error) => {
                tracing::warn!(rig = %rig.name, error = %error.chain(), "the branches of a mirror cannot be listed");
            }
        }
    }
    let now = ctx().now;
    store.read(move |reader: &dyn Reader| orphans::find(View::new(reader, &Scope::Town, now), &there)).await
}

/// Removes an orphan; the journal says so first.
///
/// What a session had in its workspace is brought into the mirror before; where that cannot be, it stays unless its time
/// has come.
pub(crate) async fn remove(
    store: &Store,
    outside: &Outside,
    ctx: &(dyn Fn() -> Ctx + Send + Sync),
    orphan: &Orphan,
) -> Result<()> {
    if orphan.kind == OrphanKind::Workspace {
        let brought = bring_home(store, outside, orphan).await;
        if brought.is_err() && orphan.due.is_none_or(|due| due > ctx().now) {
            return brought;
        }
    }
    let (ctx, said) = (ctx(), orphan.clone());
    store
        .write(move |raw: &mut dyn Txn| {
            command::step(raw, &ctx, "orphan.collected", |txn| {
                if said.kind == OrphanKind::RemoteBranch {
                    orphans::remove_remote(txn, &said)?;
                }
                let data =
                    serde_json::json!({ "kind": said.kind, "why": said.why, "rig": said.rig, "holds": said.holds });
                txn.event("orphan.collected", &said.subject, data);
                Ok(())
            })
        })
        .await?;
    match orphan.kind {
        OrphanKind::Process => outside.runtime.stop(&SessionId::new(orphan.subject.clone())?, GRACE).await,
        OrphanKind::Workspace => {
            let session = SessionId::new(orphan.subject.clone())?;
            if let Some(repository) = repository(store, outside, orphan).await? {
                repository.remove_workspace(&outside.desk.workspace(&session)).await?;
            }
            outside.desk.clear(&session).await
        }
        OrphanKind::GateTree => match repository(store, outside, orphan).await? {
            Some(repository) => repository.remove_workspace(&outside.gates.join(&orphan.subject)).await,
            None => Ok(()),
        },
        OrphanKind::MirrorBranch => match repository(store, outside, orphan).await? {
            Some(repository) => repository.delete_branch(&BranchName::new(orphan.subject.clone())?).await,
            None => Ok(()),
        },
        // The outbox does it.
        OrphanKind::RemoteBranch => Ok(()),
    }
}

/// Brings what is in the workspace of a session that has ended into the mirror.
async fn bring_home(store: &Store, outside: &Outside, orphan: &Orphan) -> Result<()> {
    let id = SessionId::new(orphan.subject.clone())?;
    let key = Key::session(&id);
    let row = move |reader: &dyn Reader| View::new(reader, &Scope::Town, Timestamp::from_micros(0)).find(&key);
    let found: Option<SessionRow> = store.read(row).await?;
    let (Some(session), Some(repository)) = (found, repository(store, outside, orphan).await?) else { return Ok(()) };
    let workspace = outside.desk.workspace(&id);
    let head = repository.collect(&workspace, &BranchName::new(session.branch.clone())?).await?;
    let Some(parent) = head.or_else(|| session.base.clone()) else { return Ok(()) };
    let at = session.ended_at.unwrap_or(session.created_at);
    let spec = what_is_left(&outside.desk, &session, &parent, session.agent.as_str(), at)?;
    repository.save(&spec).await.map(drop)
}

/// The repository of the orphan's rig; of any, where it is not known which it belonged to.
async fn repository(store: &Store, outside: &Outside, orphan: &Orphan) -> Result<Option<Arc<dyn Repository>>> {
    let rigs = rigs(store, Timestamp::from_micros(0)).await?;
    let rig = rigs.into_iter().find(|row| orphan.rig.as_ref().is_none_or(|rig| row.name == *rig));
    match rig {
        Some(row) => outside.repository(&row.name, &row.remote).await.map(Some),
        None => Ok(None),
    }
}

async fn rigs(store: &Store, now: Timestamp) -> Result<Vec<RigRow>> {
    let all = move |reader: &dyn Reader| View::new(reader, &Scope::Town, now).all(Scan::new(&index::RIGS, vec![], 0));
    store.read(all).await
}

/// Finds orphans and removes those whose time has come.
pub(crate) async fn collect(store: &Store, outside: &Outside, ctx: &(dyn Fn() -> Ctx + Send + Sync)) -> Result<()> {
    let found = find(store, outside, ctx).await?;
    // Taken afterwards: what may go at once may go now.
    let now = ctx().now;
    for orphan in found {
        if orphan.due.is_none_or(|due| due > now) {
            continue;
        }
        tracing::info!(kind = %orphan.kind, subject = orphan.subject, why = orphan.why, "an orphan is removed");
        if let Err(error) = remove(store, outside, ctx, &orphan).await {
            tracing::warn!(kind = %orphan.kind, subject = orphan.subject, error = %error.chain(), "an orphan stays");
        }
    }
    Ok(())
}

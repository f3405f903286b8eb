//! Every operation, in one table: its methods, its name in every language, who may call it.

#[cfg(feature = "auth")]
use super::capabilities as capability;
use super::doctor::{self, Diagnosis, Examine};
use super::handle::{Handle, from_json, to_json};
use super::health::{self, Health};
use super::metrics::{self, Metrics};
use super::operation::{Operation, OperationKind, table_of_operations};
use super::output::{self, Follow, OutputPage, OutputQuery};
use super::past::{self, BeadsAt, BeadsAtPage};
use super::status::{self, TownStatus};
use super::sweep::{self, OutputSweep};
#[cfg(not(feature = "auth"))]
use super::unsigned as capability;
use super::upkeep::{
    self, Archive, Archived, ArchivedFilter, ArchivedPage, Backup, Checked, Exported, Quarantined, Vacuumed, WriteTo,
};
use super::watch::Watch;
use crate::model::{Error, Result, Role};
use crate::work::{
    AddComment, AddRig, Agent, AgentFilter, AgentHistory, AgentHistoryOf, AgentList, AgentRef, All, Attempts,
    AttenuateCapability, Bead, BeadCounts, BeadFilter, BeadHistory, BeadPage, BeadPatch, BeadQuery, BeadRef,
    BeadSearch, BeadStats, BeadsExported, BlockedPage, CapabilityFilter, CapabilityPage, Changed, Checkpoint,
    ChildrenOf, Claim, CloseBead, Closed, Comment, CommentPage, CommentRef, CommentsOf, Configure, Convoy, ConvoyList,
    CountBeads, DeleteBead, Deleted, DrainTown, Draining, Duplicates, Edges, EdgesOf, Effect, EffectFilter, EffectPage,
    EffectRef, EpicPage, EventPage, EventsSince, Explanation, ExportBeads, FindDuplicates, GraphFilter, HandOff,
    Heartbeat, HistoryOf, HookBead, ImportBeads, ImportReport, IssueCapability, IssuedCapability, KeysRotated, Lease,
    Link, LoosePage, MadeBeads, MendRow, MoveBead, NewBead, NewBeads, NodePage, OverlapQuery, Overlaps, ParkBead,
    PauseAgent, PauseRig, PauseTown, Plan, PlanOf, QuarantineFilter, QuarantinePage, QuarantineRef, QuarantinedRow,
    ReadyFilter, RegisterAgent, ReleaseBead, RenameBead, Renamed, ReopenBead, ReservationFilter, ReservationPage,
    Reserve, Reserved, ResolveTriage, Review, ReviewFilter, ReviewList, RevokeCapability, Rig, RigList, RigRef,
    RotateKeys, Session, SessionFilter, SessionList, SessionRef, Sling, SlingConvoy, SlingMany, Slung, StaleBeads,
    StartPlan, StatsOf, SyncBeads, SyncReport, TownPause, Tree, TreeOf, TriageList, TriageRequest, Unreserve,
};
use crate::work::{
    agents, attempts, beads, capabilities, convoys, drain, events, find, graph, handoff, hook, outbox, pause,
    quarantine, query, ready, reservations, reviews, rigs, schedule, sessions, sling, triage,
};

/// The error of a name that is no operation's.
pub(super) fn unknown(name: &str) -> Error {
    Error::not_found("operation_unknown", format!("there is no operation {}", crate::model::id::excerpt(name)))
        .with("operations", OPERATIONS.iter().map(|o| o.name).collect::<Vec<_>>().join(", "))
}

table_of_operations! {
    /// Operations on beads.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let beads = town.operator().beads();
    /// let keel = beads.create(NewBead::titled("Lay the keel")).await?;
    /// let mast = beads.create(NewBead { depends_on: vec![keel.id.clone()], ..NewBead::titled("Raise the mast") }).await?;
    /// let ready = beads.ready(ReadyFilter::default()).await?.beads;
    /// assert_eq!(ready.iter().map(|bead| &bead.id).collect::<Vec<_>>(), [&keel.id]);
    ///
    /// let id = BeadId::new("gt-a3f9k")?; // from text, as a person types it
    /// assert_eq!(beads.get(id).await.unwrap_err().code(), "bead_missing");
    ///
    /// let circle = beads.link(Link::blocks(keel.id.clone(), mast.id.clone())).await.unwrap_err();
    /// assert_eq!(circle.code(), "cycle");
    ///
    /// let closed = beads.close(&keel.id).await?;
    /// assert_eq!(closed.unblocked, [mast.id.clone()]);
    /// let mine = beads.claim(Claim::next("tess")).await?;
    /// assert_eq!((&mine.id, mine.status), (&mast.id, BeadStatus::InProgress));
    /// beads.heartbeat(Heartbeat::of(&mine)).await?;
    /// let patch = BeadPatch { owner: Patch::Set("tess".into()), due_at: Patch::Clear, ..BeadPatch::of(mine.id) };
    /// assert_eq!(beads.update(patch).await?.owner.as_deref(), Some("tess"));
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    beads as Beads {
        /// Creates an issue.
        change "beads.create" create(NewBead) -> Bead = beads::create, for [Mayor Polecat Witness Crew];
        /// Creates issues with edges between them: all of them or none.
        change "beads.create_many" create_many(NewBeads) -> MadeBeads = beads::create_many, for [Mayor Polecat Witness Crew];
        /// Reads one bead, whole.
        ask "beads.get" get(BeadRef) -> Bead = beads::get, for [Mayor Polecat Refinery Witness Crew];
        /// Changes what is named of a bead and leaves the rest.
        change "beads.update" update(BeadPatch) -> Bead = beads::update, for [Mayor Polecat Crew];
        /// Lists beads without their texts, oldest first or as the filter says, a page at a time.
        ask "beads.list" list(BeadFilter) -> BeadPage = ready::list, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the issues that could be worked on now, most urgent first or as the filter says, a page at a time.
        ask "beads.ready" ready(ReadyFilter) -> BeadPage = ready::ready, for [Mayor Polecat Refinery Witness Crew];
        /// Takes a ready issue for somebody: exactly one of any number of callers gets it.
        change "beads.claim" claim(Claim) -> Bead = ready::claim, for [Mayor Crew];
        /// Says that the holder of a claim is at work, so that it holds on; nothing is journaled.
        change "beads.heartbeat" heartbeat(Heartbeat) -> Lease = ready::heartbeat, for [Mayor Crew];
        /// Gives a claimed issue back.
        change "beads.release" release(ReleaseBead) -> Bead = ready::release, for [Mayor Crew];
        /// Closes an issue and frees what waited for it.
        change "beads.close" close(CloseBead) -> Closed = beads::close, for [Mayor Crew];
        /// Opens a closed or failed bead again; what is merged or landed stays closed.
        change "beads.reopen" reopen(ReopenBead) -> Bead = beads::reopen, for [Mayor Crew];
        /// Takes an issue away for good and leaves a tombstone; what waited for it is freed.
        change "beads.delete" delete(DeleteBead) -> Deleted = beads::delete, for [Mayor Crew];
        /// Gives an issue another id; every reference to it follows.
        change "beads.rename" rename(RenameBead) -> Renamed = beads::rename, for [Mayor Crew];
        /// Moves an issue with its parts to another rig, where they get ids of that rig.
        change "beads.move_to_rig" move_to_rig(MoveBead) -> Renamed = beads::move_to_rig, for [Mayor];
        /// Adds a comment to a bead.
        change "beads.comment" comment(AddComment) -> Comment = beads::comment, for [Mayor Polecat Refinery Witness Crew];
        /// Reads the comments of one bead, oldest first, a page at a time.
        ask "beads.comments" comments(CommentsOf) -> CommentPage = beads::comments, for [Mayor Polecat Refinery Witness Crew];
        /// Deletes a comment: one's own, or any for the town's owner.
        change "beads.delete_comment" delete_comment(CommentRef) -> Changed = beads::delete_comment, for [Mayor Polecat Refinery Witness Crew];
        /// Adds an edge between two beads; a circle is refused and shown.
        change "beads.link" link(Link) -> Changed = graph::link, for [Mayor Polecat Crew];
        /// Removes an edge between two beads.
        change "beads.unlink" unlink(Link) -> Changed = graph::unlink, for [Mayor Polecat Crew];
        /// Reads the edges of one bead, in both directions, a page at a time.
        ask "beads.edges" edges(EdgesOf) -> Edges = graph::edges, for [Mayor Polecat Refinery Witness Crew];
        /// Finds beads by a query in words, a page at a time.
        ask "beads.query" query(BeadQuery) -> BeadPage = query::query, for [Mayor Polecat Refinery Witness Crew];
        /// Finds beads by the words in their titles and texts, a page at a time.
        ask "beads.search" search(BeadSearch) -> BeadPage = find::search, for [Mayor Polecat Refinery Witness Crew];
        /// Counts beads by the values of fields.
        ask "beads.count" count(CountBeads) -> BeadCounts = find::count, for [Mayor Polecat Refinery Witness Crew];
        /// Says how many issues there are of what, and how long the closed ones took.
        ask "beads.stats" stats(StatsOf) -> BeadStats = find::stats, for [Mayor Polecat Refinery Witness Crew];
        /// Lists issues that nobody has changed for long, those that were left the longest first.
        ask "beads.stale" stale(StaleBeads) -> BeadPage = find::stale, for [Mayor Polecat Refinery Witness Crew];
        /// Finds issues that say the same, or nearly.
        ask "beads.duplicates" duplicates(FindDuplicates) -> Duplicates = find::duplicates, for [Mayor Witness Crew];
        /// Reads what happened to a bead, field by field, a page at a time.
        outside "beads.history" history(HistoryOf) -> BeadHistory = past::history, for [Mayor Polecat Refinery Witness Crew];
        /// Reads beads as they were behind an entry of the journal.
        outside "beads.at" at(BeadsAt) -> BeadsAtPage = past::at, for [];
        /// Lists the parts of a bead, a page at a time; also those of its parts where they are asked for.
        ask "beads.children" children(ChildrenOf) -> NodePage = graph::children, for [Mayor Polecat Refinery Witness Crew];
        /// Follows what a bead waits for, to a depth.
        ask "beads.dependencies" dependencies(TreeOf) -> Tree = graph::dependencies, for [Mayor Polecat Refinery Witness Crew];
        /// Follows what waits for a bead, to a depth.
        ask "beads.dependents" dependents(TreeOf) -> Tree = graph::dependents, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the open issues that wait, each with what it waits for, a page at a time.
        ask "beads.blocked" blocked(GraphFilter) -> BlockedPage = graph::blocked, for [Mayor Polecat Refinery Witness Crew];
        /// Explains why a bead is ready, or names every fact that keeps it from running.
        ask "beads.explain" explain(BeadRef) -> Explanation = graph::explain, for [Mayor Polecat Refinery Witness Crew];
        /// Plans the open work: its order and levels, the critical path, slack, and what would unblock most.
        ask "beads.plan" plan(PlanOf) -> Plan = graph::plan, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the epics and how far each is, a page at a time.
        ask "beads.epics" epics(GraphFilter) -> EpicPage = graph::epics, for [Mayor Polecat Refinery Witness Crew];
        /// Lists imported edges that count for nothing: they would close a circle, lack an end, or name a second parent.
        ask "beads.loose_edges" loose_edges(GraphFilter) -> LoosePage = graph::loose_edges, for [Mayor Polecat Refinery Witness Crew];
        /// Reads what was tried for a bead, session by session, and why it failed or waits.
        ask "beads.attempts" attempts(BeadRef) -> Attempts = attempts::attempts, for [Mayor Polecat Refinery Witness Crew];
        /// Gives an issue to an agent and has it run: at once where it is its turn and one is idle, else as soon as it is.
        change "beads.sling" sling(Sling) -> Bead = sling::sling, for [Mayor];
        /// Gives issues to agents and has them run: all of them or none.
        change "beads.sling_many" sling_many(SlingMany) -> Slung = sling::sling_many, for [Mayor];
        /// Sets an issue aside: it is neither ready nor given to an agent; a session that it has goes on.
        change "beads.park" park(ParkBead) -> Bead = pause::park, for [Mayor Witness Crew];
        /// Takes up an issue again that was set aside.
        change "beads.unpark" unpark(BeadRef) -> Bead = pause::unpark, for [Mayor Witness Crew];
        /// Takes in beads from files of `bd` and `br`, or of an export; what cannot be read is reported.
        outside "beads.import_from" import_from(ImportBeads) -> ImportReport = upkeep::import_beads, for [];
        /// Writes the beads into a file as `bd` and `br` know them, or as they were imported.
        outside "beads.export_to" export_to(ExportBeads) -> BeadsExported = upkeep::export_beads, for [];
        /// Brings the town and the file of a `.beads` folder together, by field, from what both agreed on last.
        outside "beads.sync" sync(SyncBeads) -> SyncReport = upkeep::sync_beads, for [];
    }
    /// Operations on convoys.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// # let git = |args: &[&str]| assert!(std::process::Command::new("git").current_dir(folder.path()).args(args).status().unwrap().success());
    /// # git(&["init", "-q", "-b", "main", "seed"]);
    /// # git(&["-C", "seed", "-c", "user.name=Tess", "-c", "user.email=tess@example.org", "commit", "-q", "--allow-empty", "-m", "Begin"]);
    /// # git(&["clone", "-q", "--bare", "seed", "origin.git"]);
    /// # let origin = folder.path().join("origin.git");
    /// # let rig = RigName::new("harbour")?;
    /// # town.operator().rigs().add(AddRig::new(rig.clone(), origin.to_str().unwrap())).await?;
    /// let tasks = vec![Task::new("Lay the keel", []), Task::new("Raise the mast", [0]), Task::new("Sew the sails", [0])];
    /// let convoy = town.operator().convoys().sling(SlingConvoy::new("A ship", rig, tasks)).await?;
    /// assert_eq!(convoy.state, ConvoyState::Active);
    /// assert_eq!(convoy.progress.open, 3);
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    convoys as Convoys {
        /// Makes tasks with their edges, gives them to agents and brings them home together: all of them or none.
        change "convoys.sling" sling(SlingConvoy) -> Convoy = convoys::sling, for [Mayor];
        /// Reads one convoy and how far it is.
        ask "convoys.get" get(BeadRef) -> Convoy = convoys::get, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the convoys.
        ask "convoys.list" list(All) -> ConvoyList = convoys::list, for [Mayor Polecat Refinery Witness Crew];
        /// Tries again to land a convoy that needs attention although all its members are done, or to make its branch.
        change "convoys.land" land(BeadRef) -> Convoy = convoys::retry_landing, for [Mayor];
    }
    /// Operations on agents.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// # let git = |args: &[&str]| assert!(std::process::Command::new("git").current_dir(folder.path()).args(args).status().unwrap().success());
    /// # git(&["init", "-q", "-b", "main", "seed"]);
    /// # git(&["-C", "seed", "-c", "user.name=Tess", "-c", "user.email=tess@example.org", "commit", "-q", "--allow-empty", "-m", "Begin"]);
    /// # git(&["clone", "-q", "--bare", "seed", "origin.git"]);
    /// # let origin = folder.path().join("origin.git");
    /// # let rig = RigName::new("harbour")?;
    /// # town.operator().rigs().add(AddRig::new(rig.clone(), origin.to_str().unwrap())).await?;
    /// let toast = AgentName::new("toast")?;
    /// let agent = town.operator().agents().register(RegisterAgent::polecat(toast.clone(), rig)).await?;
    /// assert_eq!(agent.state, AgentState::Idle);
    /// assert_eq!(town.operator().agents().get(toast).await?.id, agent.id);
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    agents as Agents {
        /// Makes an agent known to the town.
        change "agents.register" register(RegisterAgent) -> Agent = agents::register, for [Mayor];
        /// Reads one agent.
        ask "agents.get" get(AgentRef) -> Agent = agents::get, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the agents.
        ask "agents.list" list(AgentFilter) -> AgentList = agents::list, for [Mayor Polecat Refinery Witness Crew];
        /// Reads what an agent has done, session by session, oldest first, a page at a time.
        ask "agents.history" history(AgentHistoryOf) -> AgentHistory = agents::history, for [Mayor Polecat Refinery Witness Crew];
        /// Gives an agent no work for a while; a session that it has goes on.
        change "agents.pause" pause(PauseAgent) -> Agent = pause::pause_agent, for [Mayor Witness];
        /// Gives a paused agent work again.
        change "agents.resume" resume(AgentRef) -> Agent = pause::resume_agent, for [Mayor Witness];
        /// Puts an issue on an agent's hook: nobody else gets it, the agent gets nothing else, and the engine runs it.
        change "agents.hook" hook(HookBead) -> Agent = hook::hook, for [Mayor];
        /// Takes what has not begun off an agent's hook; the issue is open and not slung.
        change "agents.unhook" unhook(AgentRef) -> Agent = hook::unhook, for [Mayor];
        /// Gives an agent no work any more; a session that it has goes on, its name and its history stay.
        change "agents.retire" retire(AgentRef) -> Agent = agents::retire, for [Mayor];
    }
    /// Operations on rigs.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// # let git = |args: &[&str]| assert!(std::process::Command::new("git").current_dir(folder.path()).args(args).status().unwrap().success());
    /// # git(&["init", "-q", "-b", "main", "seed"]);
    /// # git(&["-C", "seed", "-c", "user.name=Tess", "-c", "user.email=tess@example.org", "commit", "-q", "--allow-empty", "-m", "Begin"]);
    /// # git(&["clone", "-q", "--bare", "seed", "origin.git"]);
    /// # let origin = folder.path().join("origin.git");
    /// let rigs = town.operator().rigs();
    /// let name = RigName::new("harbour")?;
    /// let settings = NewSettings::from([("gate.command".into(), serde_json::json!(["make", "test"]))]);
    /// let rig = rigs.add(AddRig { settings, ..AddRig::new(name, origin.to_str().unwrap()) }).await?;
    /// assert_eq!(rig.target, "main");
    ///
    /// let nowhere = AddRig::new(RigName::new("nowhere")?, "/no/such/repository");
    /// assert_eq!(rigs.add(nowhere).await.unwrap_err().code(), "repository_missing");
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    rigs as Rigs {
        /// Takes a repository under the town's care, after looking whether it can be.
        outside "rigs.add" add(AddRig) -> Rig = add_rig, for [];
        /// Reads one rig.
        ask "rigs.get" get(RigRef) -> Rig = rigs::get, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the rigs.
        ask "rigs.list" list(All) -> RigList = rigs::list, for [Mayor Refinery Witness Crew];
        /// Hands out no bead of a rig for a while; what runs goes on.
        change "rigs.pause" pause(PauseRig) -> Rig = pause::pause_rig, for [];
        /// Hands out a paused rig's beads again.
        change "rigs.resume" resume(RigRef) -> Rig = pause::resume_rig, for [];
        /// Sets settings of the town or of a rig.
        change "rigs.configure" configure(Configure) -> Changed = rigs::configure, for [];
    }
    /// Operations on sessions.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let running = SessionFilter { state: Some(SessionState::Running), ..SessionFilter::default() };
    /// assert!(town.operator().sessions().list(running).await?.sessions.is_empty());
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    sessions as Sessions {
        /// Reads one session.
        outside "sessions.get" get(SessionRef) -> Session = output::session, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the sessions of a bead or in a state.
        ask "sessions.list" list(SessionFilter) -> SessionList = sessions::list, for [Mayor Refinery Witness Crew];
        /// Reads what a session printed or its structured events, a page at a time, while it runs and afterwards.
        outside "sessions.output" output(OutputQuery) -> OutputPage = output::output, for [Mayor Polecat Refinery Witness Crew];
        /// Removes the output of ended sessions that is too old or too much, as the engine does by itself.
        outside "sessions.sweep" sweep(All) -> OutputSweep = sweep::sweep, for [];
        /// Says what the engine would start now, in order and why, without changing anything.
        ask "sessions.plan" plan(All) -> StartPlan = schedule::next, for [Mayor Refinery Witness Crew];
        /// Has a session stopped; its bead is open again and not slung.
        change "sessions.stop" stop(SessionRef) -> Session = sessions::stop, for [Mayor Witness];
        /// Leaves something for the next session of the bead, which finds it in its brief; the last counts.
        change "sessions.checkpoint" checkpoint(Checkpoint) -> Session = handoff::checkpoint, for [Mayor Polecat Refinery Witness Crew];
        /// Ends a session and has another one of the same agent go on with its bead, from the commits that it leaves.
        change "sessions.handoff" handoff(HandOff) -> Session = handoff::handoff, for [Mayor Polecat Refinery Witness Crew];
    }
    /// Operations on merge requests.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let queued = ReviewFilter { state: Some(ReviewState::Queued), ..ReviewFilter::default() };
    /// assert!(town.operator().reviews().list(queued).await?.reviews.is_empty());
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    reviews as Reviews {
        /// Reads one merge request.
        ask "reviews.get" get(BeadRef) -> Review = reviews::get, for [Mayor Polecat Refinery Witness Crew];
        /// Lists the merge requests of a source or in a state.
        ask "reviews.list" list(ReviewFilter) -> ReviewList = reviews::list, for [Mayor Polecat Refinery Witness Crew];
    }
    /// What somebody has to judge, and what is done about it.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let triage = town.operator().triage();
    /// for request in triage.list(All {}).await?.requests {
    ///     println!("{}: {:?}", request.title, request.options);
    ///     triage.resolve(ResolveTriage { id: request.id, action: TriageAction::Wait, note: None }).await?;
    /// }
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    triage as Triage {
        /// Lists what waits for somebody's judgement, oldest first.
        ask "triage.list" list(All) -> TriageList = triage::list, for [Mayor Witness];
        /// Does what was chosen, where things are still as they were when it was asked, and closes the request.
        change "triage.resolve" resolve(ResolveTriage) -> TriageRequest = triage::resolve, for [Mayor Witness];
    }
    /// Operations on reservations of paths.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// # let git = |args: &[&str]| assert!(std::process::Command::new("git").current_dir(folder.path()).args(args).status().unwrap().success());
    /// # git(&["init", "-q", "-b", "main", "seed"]);
    /// # git(&["-C", "seed", "-c", "user.name=Tess", "-c", "user.email=tess@example.org", "commit", "-q", "--allow-empty", "-m", "Begin"]);
    /// # git(&["clone", "-q", "--bare", "seed", "origin.git"]);
    /// # let origin = folder.path().join("origin.git");
    /// # let rig = RigName::new("harbour")?;
    /// # town.operator().rigs().add(AddRig::new(rig.clone(), origin.to_str().unwrap())).await?;
    /// let bead = town.operator().beads().create(NewBead::titled("Paint the hull").in_rig(rig.clone())).await?;
    /// let reservations = town.operator().reservations();
    /// reservations.add(Reserve { bead: bead.id.clone(), patterns: vec!["hull/**".into()], ttl_ms: None }).await?;
    ///
    /// let wanted = OverlapQuery { rig, patterns: vec!["**/*.paint".into()], but: None };
    /// assert_eq!(reservations.overlaps(wanted).await?.overlaps[0].reservation.bead, bead.id);
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    reservations as Reservations {
        /// Reserves paths for the work on a bead, and says who else has the like; it keeps nobody from them.
        change "reservations.add" add(Reserve) -> Reserved = reservations::add, for [Mayor Polecat Crew];
        /// Gives reservations of a bead up.
        change "reservations.remove" remove(Unreserve) -> Changed = reservations::remove, for [Mayor Polecat Crew];
        /// Lists the reservations of a rig or a bead that hold, a page at a time.
        ask "reservations.list" list(ReservationFilter) -> ReservationPage = reservations::list, for [Mayor Polecat Refinery Witness Crew];
        /// Says who has reserved paths that may be the same as these.
        ask "reservations.overlaps" overlaps(OverlapQuery) -> Overlaps = reservations::overlaps, for [Mayor Polecat Refinery Witness Crew];
    }
    /// Operations on capabilities: what callers show who are not in this process.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let capabilities = town.operator().capabilities();
    /// let whole = capabilities.issue(IssueCapability { user: Some(UserId::new("tess")?), ..Default::default() }).await?;
    /// let tess = town.with_token(&whole.token).await?;
    /// let bead = tess.beads().create(NewBead::titled("Lay the keel")).await?;
    /// assert_eq!(bead.created_by, "user/tess");
    ///
    /// // To hand on: less than what one has, and gone when that is.
    /// let verbs = Some(["beads.list".to_owned()].into());
    /// let less = AttenuateCapability { token: whole.token, rig: None, verbs, ttl_ms: Some(60_000) };
    /// let reader = town.with_token(&capabilities.attenuate(less).await?.token).await?;
    /// assert_eq!(reader.beads().list(BeadFilter::default()).await?.beads.len(), 1);
    /// assert_eq!(reader.beads().close(&bead.id).await.unwrap_err().code(), "verb_not_granted");
    ///
    /// capabilities.revoke(whole.id).await?;
    /// assert_eq!(reader.beads().list(BeadFilter::default()).await.unwrap_err().code(), "capability_revoked");
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    capabilities as Capabilities {
        /// Issues a capability to a user, a rig or the agent of a session, and gives its token, this once.
        outside "capabilities.issue" issue(IssueCapability) -> IssuedCapability = capability::issue, for [];
        /// Makes a capability that can do less than the one whose token is shown, and gives its token, this once.
        outside "capabilities.attenuate" attenuate(AttenuateCapability) -> IssuedCapability = capability::attenuate, for [Mayor Polecat Refinery Witness Crew];
        /// Revokes a capability and whatever was made of it, for the very next call of whoever holds it.
        change "capabilities.revoke" revoke(RevokeCapability) -> Changed = capabilities::revoke, for [];
        /// Lists the capabilities that were issued, those that end first in front, a page at a time.
        ask "capabilities.list" list(CapabilityFilter) -> CapabilityPage = capabilities::list, for [];
        /// Lets a new key sign tokens; those before it verify for a while longer.
        outside "capabilities.rotate_keys" rotate_keys(RotateKeys) -> KeysRotated = capability::rotate_keys, for [];
    }
    /// What is to be done outside the database, and what was given up.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let effects = town.operator().effects();
    /// for given_up in effects.list(EffectFilter::default()).await?.effects {
    ///     effects.retry(given_up.id).await?;
    /// }
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    effects as Effects {
        /// Lists effects of one state, those that were given up where none is named, a page at a time.
        ask "effects.list" list(EffectFilter) -> EffectPage = outbox::list, for [];
        /// Has an effect that was given up tried again, where it is still wanted.
        change "effects.retry" retry(EffectRef) -> Effect = outbox::retry, for [];
    }
    /// The journal.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let events = town.operator().events();
    /// let mut watch = events.watch(0)?;
    /// assert_eq!(watch.next().await?.kind, "town.founded");
    /// assert_eq!(events.since(EventsSince::default()).await?.head, 1);
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    events as Events {
        /// Reads the journal behind a place.
        ask "events.since" since(EventsSince) -> EventPage = events::since, for [];
    }
    /// What a town's owner does with the whole of it.
    ///
    /// ```
    /// # use gastown_core::*;
    /// # use gastown_core::model::*;
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    /// let upkeep = town.operator().upkeep();
    /// let bead = town.operator().beads().create(NewBead::titled("Tidy the harbour")).await?;
    /// assert_eq!(upkeep.check(All {}).await?.findings, []);
    ///
    /// let backup = folder.path().join("monday");
    /// upkeep.backup(backup.as_path()).await?;
    /// let again = Town::builder(folder.path().join("again")).from_env().restore(&backup).await?;
    /// assert_eq!(again.operator().beads().get(&bead.id).await?, bead);
    /// # again.close().await?;
    /// # town.close().await?;
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    upkeep as Upkeep {
        /// Says how the town is: its engine, its queue, its database, what waits and what was given up.
        outside "upkeep.health" health(All) -> Health = health::health, for [];
        /// Shows what goes on: agents, beads, sessions, convoys, merge requests, effects, what asks for somebody, and the last entries.
        ask "upkeep.status" status(All) -> TownStatus = status::status, for [Mayor];
        /// Reads what was counted and measured of the town since this process opened it.
        outside "upkeep.metrics" metrics(All) -> Metrics = metrics::metrics, for [Mayor];
        /// Looks over the database, every row, the journal and its archives while the town works on.
        outside "upkeep.check" check(All) -> Checked = upkeep::check, for [];
        /// Says what keeps the town from working, between rows, outside and left behind; mends what it can where that is asked for.
        outside "upkeep.doctor" doctor(Examine) -> Diagnosis = doctor::doctor, for [];
        /// Takes the rows that cannot be read out of their tables, as they are.
        outside "upkeep.quarantine" quarantine(All) -> Quarantined = upkeep::quarantine, for [];
        /// Lists the rows that were taken out because they could not be read, a page at a time.
        ask "upkeep.quarantined" quarantined(QuarantineFilter) -> QuarantinePage = quarantine::quarantined, for [];
        /// Brings a row in quarantine back to its table, with other columns where they are given.
        change "upkeep.mend" mend(MendRow) -> QuarantinedRow = quarantine::mend, for [];
        /// Gives a row in quarantine up, and what follows from it; the journal keeps what it held.
        change "upkeep.discard" discard(QuarantineRef) -> QuarantinedRow = quarantine::discard, for [];
        /// Copies the town to a new folder while it works on.
        outside "upkeep.backup" backup(WriteTo) -> Backup = upkeep::backup, for [];
        /// Writes the town's records as lines of JSON to a new file while it works on.
        outside "upkeep.export" export(WriteTo) -> Exported = upkeep::export, for [];
        /// Puts away what is over: beads and effects, the beginning of the journal; into files first.
        outside "upkeep.archive" archive(Archive) -> Archived = upkeep::archive, for [];
        /// Hands out no bead of the whole town for a while; what runs goes on.
        change "upkeep.pause" pause(PauseTown) -> TownPause = pause::pause_town, for [Mayor];
        /// Has the engine's host give its work away: nothing is started, and what runs is stopped after a grace and saved.
        change "upkeep.drain" drain(DrainTown) -> Draining = drain::drain, for [];
        /// Hands out the paused town's beads again, and calls a drain off.
        change "upkeep.resume" resume(All) -> TownPause = pause::resume_town, for [Mayor];
        /// Lists the beads that were put away and are not back, archive by archive, a page at a time.
        outside "upkeep.archived" archived(ArchivedFilter) -> ArchivedPage = upkeep::archived, for [];
        /// Brings a bead back that was put away, closed as it was.
        outside "upkeep.recall" recall(BeadRef) -> Bead = upkeep::recall, for [];
        /// Gives back the space of what was deleted; commands wait meanwhile, reads go on.
        outside "upkeep.vacuum" vacuum(All) -> Vacuumed = upkeep::vacuum, for [];
    }
}

impl Sessions {
    /// Follows what a session prints, or its structured events, from `after` on until it has ended.
    ///
    /// # Errors
    /// `limit_out_of_range`; what the session itself has to say, its first page says.
    pub fn follow(&self, input: impl Into<OutputQuery>) -> Result<Follow> {
        Follow::new(self.0.clone(), input.into())
    }
}

impl Events {
    /// Follows the journal: everything behind `since`, then each event as it is journaled.
    ///
    /// # Errors
    /// `scope_too_narrow` for a handle that does not see the whole town.
    pub fn watch(&self, since: u64) -> Result<Watch> {
        Watch::new(self.0.clone(), since)
    }
}

/// Every operation there is.
pub fn operations() -> &'static [Operation] {
    OPERATIONS
}

pub(super) fn operation(name: &str) -> &'static Operation {
    OPERATIONS.iter().find(|operation| operation.name == name).expect("the name is the table's own")
}

#[cfg(all(feature = "git", feature = "process"))]
async fn add_rig(handle: &Handle, operation: &'static Operation, input: AddRig) -> Result<Rig> {
    use crate::git::{BranchName, RemoteUrl};
    let remote = RemoteUrl::new(input.remote.clone())?;
    let target = BranchName::new(input.target())?;
    // Who may not add it does not learn either what is at the remote.
    if let Some(rig) = handle.scope().rig() {
        return Err(Error::forbidden("outside_rig", format!("{} may add no rig", handle.scope().principal()))
            .with("principal", handle.scope().principal())
            .with("rig", rig));
    }
    let outside = handle.town().outside().await?;
    outside.repositories.inspect(&remote, &target).await?;
    let rig = handle.change(operation, input, rigs::add).await?;
    outside.repository(&rig.name, &rig.remote).await?.fetch().await?;
    Ok(rig)
}

#[cfg(not(all(feature = "git", feature = "process")))]
async fn add_rig(handle: &Handle, operation: &'static Operation, input: AddRig) -> Result<Rig> {
    handle.change(operation, input, rigs::add).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_group_and_method() {
        let mut names: Vec<&str> = OPERATIONS.iter().map(|o| o.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPERATIONS.len());
        assert!(OPERATIONS.iter().all(|o| o.name.split('.').count() == 2 && !o.meaning.is_empty()));
    }
}

//! Sessions that are asked for their life, their progress, and what they leave for the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gastown_core::model::{BeadStatus, ErrorKind, OutputStream, SessionExit, SessionId, Setback};
use gastown_core::runtime::{
    Capabilities, ContainerRuntime, ExitRecord, OutputChunk, ProcessOptions, ProcessRuntime, SessionSpec, SessionStatus,
};
use gastown_core::{Checkpoint, EffectFilter, Error, HandOff, NewBead, NewSettings, OutputQuery, Town};
use serde_json::json;

use crate::support::{HANG, Yard, event, happened, origin, quick, sh, staff};

/// Commits, says that it is ready, and waits; where something was left for it, it is done at once.
const HANDS_ON: &str = "
if grep -q the.mast \"$GASTOWN_BRIEF\"; then exit 0; fi
echo hull > hull.txt; git add -A; git commit -q -m hull; echo ready; exec sleep 1000";

async fn ready(town: &Town, session: &SessionId) {
    let mut pages = town.operator().sessions().follow(OutputQuery::of(session.clone())).unwrap();
    let wait = async {
        loop {
            let page = pages.next().await.unwrap().expect("it has not ended");
            if page.text.contains("ready") {
                return;
            }
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("the session does not say that it is ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hands_its_bead_on_and_what_it_committed_is_merged() {
    let yard = Yard::new(HANDS_ON, []).await;
    let bead = yard.sling("lay the keel").await;
    let first =
        SessionId::new(event(&yard.town, &mut 0, |event| event.kind == "session.started").await.subject).unwrap();
    ready(&yard.town, &first).await;
    let agent = yard.town.session(&first).await.unwrap();
    agent.sessions().checkpoint(Checkpoint::from(json!({ "next": "the sail" }))).await.unwrap();
    let wish = HandOff { data: Some(json!({ "next": "the mast" })), session: None };
    assert_eq!(agent.sessions().handoff(wish).await.unwrap().ending, Some(SessionExit::HandedOff));
    let bead = yard.merged(&bead).await;
    let sessions = yard.sessions(&bead.id).await;
    let exits: Vec<_> = sessions.iter().map(|session| session.exit.unwrap()).collect();
    assert_eq!(exits, [SessionExit::HandedOff, SessionExit::Succeeded]);
    assert_eq!(sessions[0].agent, sessions[1].agent);
    assert_eq!(sessions[1].base, sessions[0].head, "it began where the first stopped");
    assert_eq!(crate::support::git(&yard.origin, &["show", "main:hull.txt"]), "hull");
    assert_eq!(agent.sessions().checkpoint(json!({})).await.unwrap_err().code(), "epoch_stale");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_shows_nothing_for_too_long_is_stopped_as_stalled() {
    let script = "if [ \"$GASTOWN_FAILURES\" = 0 ]; then exec sleep 1000; fi
        echo x > x; git add -A; git commit -q -m x";
    let yard = Yard::new(
        script,
        [
            ("session.heartbeat_ms", json!(100)),
            ("progress.nudge_ms", json!(100)),
            ("progress.triage_ms", json!(200)),
            ("progress.stop_ms", json!(300)),
        ],
    )
    .await;
    let bead = yard.sling("lay the keel").await;
    happened(&yard.town, &mut 0, "bead.retried", &bead.id).await;
    // The next one is left alone.
    yard.configure("progress.nudge_ms", json!(600_000)).await;
    let bead = yard.merged(&bead).await;
    let tried = yard.town.operator().beads().attempts(&bead.id).await.unwrap();
    assert_eq!(tried.attempts[0].exit, Some(SessionExit::Stalled));
    assert_eq!((tried.failures, tried.agent_failures), (0, 1));
    event(&yard.town, &mut 0, |event| event.kind == "session.nudge_unheard").await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_given_up_is_listed_with_its_reason_and_not_tried_again_unwanted() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town = crate::support::open(dir.path()).await;
    // No program is named, so that every start is refused at once.
    let rig = staff(&town, &origin, 1, quick([("outages.max", json!(1))])).await;
    town.start().await.unwrap();
    let bead = town.operator().beads().create(NewBead::titled("lay the keel").in_rig(rig)).await.unwrap();
    town.operator().beads().sling(bead.id.clone()).await.unwrap();
    happened(&town, &mut 0, "bead.parked", &bead.id).await;
    let starts = EffectFilter { kind: Some("start".to_owned()), ..EffectFilter::default() };
    let given_up = town.operator().effects().list(starts).await.unwrap().effects;
    assert_eq!((given_up.len(), given_up[0].setback), (1, Some(Setback::Refused)));
    assert!(given_up[0].outcome.as_deref().unwrap().contains("agent.command"));
    let error = town.operator().effects().retry(given_up[0].id.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "effect_unwanted"));
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_means_what_the_rig_says_it_means() {
    let script = "case $GASTOWN_EPOCH in 1) exit 75;; 2) exit 77;; 3) exit 3;; esac
        echo x > x; git add -A; git commit -q -m x";
    let codes = json!({ "75": "rate_limited", "77": "auth_failed" });
    let yard = Yard::new(script, [("agent.exit_codes", codes), ("auth_failures.backoff_ms", json!([10]))]).await;
    let bead = yard.merged(&yard.sling("lay the keel").await).await;
    let tried = yard.town.operator().beads().attempts(&bead.id).await.unwrap();
    let exits: Vec<_> = tried.attempts.iter().map(|attempt| attempt.exit.unwrap()).collect();
    let wanted = [SessionExit::RateLimited, SessionExit::AuthFailed, SessionExit::Failed, SessionExit::Succeeded];
    assert_eq!(exits, wanted);
    assert_eq!((tried.failures, tried.outages, tried.auth_failures), (1, 0, 0));
    yard.ends_tidy().await;
}

/// Processes whose runtime says nothing of them while it is mute.
#[derive(Debug)]
struct Mute {
    inner: ProcessRuntime,
    is_mute: AtomicBool,
}

impl Mute {
    fn speak(&self) -> gastown_core::Result<()> {
        if self.is_mute.load(Ordering::SeqCst) {
            return Err(Error::unavailable("runtime_mute", "the runtime does not answer"));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for Mute {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn start(&self, spec: &SessionSpec) -> gastown_core::Result<SessionStatus> {
        self.inner.start(spec).await
    }
    async fn list(&self) -> gastown_core::Result<Vec<SessionStatus>> {
        self.inner.list().await
    }
    async fn inspect(&self, session: &SessionId) -> gastown_core::Result<SessionStatus> {
        self.speak()?;
        self.inner.inspect(session).await
    }
    async fn wait(&self, session: &SessionId) -> gastown_core::Result<ExitRecord> {
        self.inner.wait(session).await
    }
    async fn stop(&self, session: &SessionId, grace: Duration) -> gastown_core::Result<()> {
        self.inner.stop(session, grace).await
    }
    async fn forget(&self, session: &SessionId) -> gastown_core::Result<()> {
        self.inner.forget(session).await
    }
    async fn output(&self, session: &SessionId, offset: u64, bytes_max: usize) -> gastown_core::Result<OutputChunk> {
        self.inner.output(session, offset, bytes_max).await
    }
    async fn grown(&self, session: &SessionId, stream: OutputStream, offset: u64) -> gastown_core::Result<()> {
        self.inner.grown(session, stream, offset).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_which_the_runtime_says_nothing_is_lost_after_its_lease_and_its_process_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let inner = ProcessRuntime::new(ProcessOptions::new(dir.path().join("sessions")).inherit_from_env()).unwrap();
    let mute = Arc::new(Mute { inner, is_mute: AtomicBool::new(false) });
    let town = Town::builder(dir.path().join("town")).from_env().runtime(mute.clone()).open().await.unwrap();
    let settings = quick([
        ("session.heartbeat_ms", json!(100)),
        ("session.lease_ms", json!(300)),
        ("outages.backoff_ms", json!([86_400_000])),
    ]);
    let settings: NewSettings = settings.into_iter().chain([("agent.command".into(), sh("sleep 1000"))]).collect();
    let rig = staff(&town, &origin, 1, settings).await;
    town.start().await.unwrap();
    let operator = town.operator();
    let bead = operator.beads().create(NewBead::titled("lay the keel").in_rig(rig)).await.unwrap();
    operator.beads().sling(bead.id.clone()).await.unwrap();
    let started = event(&town, &mut 0, |event| event.kind == "session.started").await;
    mute.is_mute.store(true, Ordering::SeqCst);
    let mut since = started.seq;
    happened(&town, &mut since, "bead.retried", &bead.id).await;
    let tried = operator.beads().attempts(&bead.id).await.unwrap();
    assert_eq!((tried.status, tried.attempts[0].exit), (BeadStatus::Open, Some(SessionExit::Lost)));
    assert!(tried.attempts[0].reason.as_deref().unwrap().contains("the runtime does not answer"));
    assert_eq!((tried.failures, tried.agent_failures, tried.outages), (0, 0, 1));
    let stop = format!("stop#{}#1", started.subject);
    event(&town, &mut since, |event| event.kind == "effect.confirmed" && event.subject == stop).await;
    mute.is_mute.store(false, Ordering::SeqCst);
    assert!(crate::support::processes_of(&dir.path().join("town/work")).is_empty());
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rig_whose_program_is_missing_opens_its_breaker_and_closes_it_once_it_is_there() {
    let settings = [
        ("agent.command", json!(["no-such-program"])),
        ("breaker.failures", json!(2)),
        ("breaker.wait_ms", json!([50])),
        ("outages.max", json!(1_000)),
    ];
    let yard = Yard::new("", settings).await;
    let bead = yard.sling("lay the keel").await;
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "breaker.opened").await;
    let health = yard.town.operator().upkeep().health(gastown_core::All {}).await.unwrap();
    assert_eq!(health.breakers[0].subject, format!("rig/{}", yard.rig));
    assert!(health.breakers[0].reason.as_deref().unwrap().contains("no-such-program"));
    let raised = event(&yard.town, &mut 0, |event| event.kind == "escalation.raised").await;
    yard.configure("agent.command", sh("echo x > x; git add -A; git commit -q -m x")).await;
    yard.merged(&bead).await;
    event(&yard.town, &mut since, |event| event.kind == "breaker.closed").await;
    let told = yard.bead(&gastown_core::model::BeadId::new(raised.subject).unwrap()).await;
    assert_eq!(told.status, BeadStatus::Closed);
    assert!(yard.town.operator().upkeep().health(gastown_core::All {}).await.unwrap().breakers.is_empty());
    yard.ends_tidy().await;
}

//! An engine that ends by accident: the town says so, and goes on where it is started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gastown_core::model::{Event, SessionId, Timestamp};
use gastown_core::runtime::conformance::until;
use gastown_core::runtime::{
    Capabilities, ContainerRuntime, ExitRecord, OutputChunk, ProcessOptions, ProcessRuntime, SessionSpec, SessionStatus,
};
use gastown_core::town::EngineState;
use gastown_core::{All, Clock, NewBead, NewSettings, SlingConvoy, SystemClock, Task, Town};

use crate::support::{origin, settled, sh, staff};

/// The name of the threads that the engines of these tests run on.
const ENGINE: &str = "engine";

/// A clock that panics in the engine's threads once it is told to.
#[derive(Debug, Default)]
struct Trap(AtomicBool);

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        let in_engine = std::thread::current().name() == Some(ENGINE);
        assert!(!(in_engine && self.0.load(Ordering::SeqCst)), "the trap is set");
        SystemClock.now()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name(ENGINE).enable_all().build().unwrap()
}

async fn engine(town: &Town) -> EngineState {
    town.operator().upkeep().health(All {}).await.unwrap().engine
}

async fn failed(town: &Town) -> String {
    until("the engine has failed", async || matches!(engine(town).await, EngineState::Failed { .. })).await;
    match engine(town).await {
        EngineState::Failed { reason } => reason,
        other => panic!("it is {other:?}"),
    }
}

async fn start_on(runtime: &tokio::runtime::Runtime, town: &Town) {
    let town = town.clone();
    runtime.spawn(async move { town.start().await }).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_tokio_runtime_is_gone_has_failed_and_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let town = crate::support::open(dir.path()).await;
    let elsewhere = runtime();
    start_on(&elsewhere, &town).await;
    assert_eq!(engine(&town).await, EngineState::Running);
    elsewhere.shutdown_background();
    assert!(failed(&town).await.contains("the runtime that the engine ran on is gone"));

    town.start().await.unwrap();
    assert_eq!(engine(&town).await, EngineState::Running);
    let elsewhere = runtime();
    town.stop().await.unwrap();
    start_on(&elsewhere, &town).await;
    elsewhere.shutdown_background();
    failed(&town).await;
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_panicked_has_failed_and_the_town_can_be_started_again_or_closed() {
    let dir = tempfile::tempdir().unwrap();
    let trap = Arc::new(Trap::default());
    let town = Town::builder(dir.path()).from_env().clock(trap.clone()).open().await.unwrap();
    let elsewhere = runtime();
    for is_last in [false, true] {
        start_on(&elsewhere, &town).await;
        trap.0.store(true, Ordering::SeqCst);
        town.operator().beads().create(NewBead::titled("wake it")).await.unwrap();
        assert!(failed(&town).await.contains("panicked"));
        trap.0.store(false, Ordering::SeqCst);
        if is_last {
            break;
        }
        town.start().await.unwrap();
        assert_eq!(engine(&town).await, EngineState::Running);
        town.stop().await.unwrap();
    }
    assert_eq!(town.close().await.unwrap_err().code(), "engine_panicked");
    let closed = town.operator().beads().create(NewBead::titled("too late")).await.unwrap_err();
    assert_eq!(closed.code(), "store_closed", "the store is closed all the same");
    elsewhere.shutdown_background();
}

/// Processes, the first of which is started by a task that panics.
#[derive(Debug)]
struct Stumbles {
    inner: ProcessRuntime,
    stumbled: AtomicBool,
}

#[async_trait::async_trait]
impl ContainerRuntime for Stumbles {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn start(&self, spec: &SessionSpec) -> gastown_core::Result<SessionStatus> {
        assert!(self.stumbled.swap(true, Ordering::SeqCst), "it stumbles once");
        self.inner.start(spec).await
    }
    async fn list(&self) -> gastown_core::Result<Vec<SessionStatus>> {
        self.inner.list().await
    }
    async fn inspect(&self, session: &SessionId) -> gastown_core::Result<SessionStatus> {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_whose_task_panicked_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let inner = ProcessRuntime::new(ProcessOptions::new(dir.path().join("sessions")).inherit_from_env()).unwrap();
    let stumbles = Arc::new(Stumbles { inner, stumbled: AtomicBool::new(false) });
    let town = Town::builder(dir.path().join("town")).from_env().runtime(stumbles).open().await.unwrap();
    let work = sh("echo x > x; git add x; git commit -q -m x");
    let rig = staff(&town, &origin, 1, NewSettings::from([("agent.command".into(), work)])).await;
    town.start().await.unwrap();
    let tasks = vec![Task::new("lay the keel", [])];
    let convoy = town.operator().convoys().sling(SlingConvoy::new("a ship", rig, tasks)).await.unwrap();
    let landed = settled(&town, &convoy).await;
    assert_eq!(landed.state.as_str(), "landed", "{:?}", landed.reason);
    let said = |event: &Event| event.kind == "effect.retry" && event.data["reason"] == "its task panicked";
    crate::support::event(&town, &mut 0, said).await;
    town.close().await.unwrap();
}

//! A doctor for a town: what keeps it from working is told, what is left behind is found, and both are mended.

use std::path::Path;

use gastown_core::model::{BeadId, SessionId};
use gastown_core::runtime::conformance::until;
use gastown_core::runtime::{
    ContainerRuntime as _, ProcessOptions, ProcessRuntime, SessionSpec, SessionState, Supervisor,
};
use gastown_core::{Examine, NewSettings, Symptom, SymptomKind, Town};
use serde_json::json;

use crate::support::{Yard, git, happened, open, origin, staff};

async fn symptoms(town: &Town, repair: bool) -> Vec<Symptom> {
    town.operator().upkeep().doctor(Examine { repair }).await.unwrap().symptoms
}

fn named(symptoms: &[Symptom]) -> Vec<(SymptomKind, &str, bool)> {
    symptoms.iter().map(|symptom| (symptom.kind, symptom.subject.as_str(), symptom.is_repaired)).collect()
}

const DONE: &str = "echo x > x; git add -A; git commit -q -m x";

#[tokio::test(flavor = "multi_thread")]
async fn a_town_that_works_has_no_symptoms() {
    let yard = Yard::new(DONE, []).await;
    let bead = yard.sling("lay the keel").await;
    assert_eq!(symptoms(&yard.town, false).await, []);
    yard.merged(&bead).await;
    yard.at_rest().await;
    assert_eq!(symptoms(&yard.town, true).await, []);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_town_from_working_is_told_with_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let origin = origin(dir.path());
    let town =
        Town::builder(dir.path().join("town")).from_env().supervisor(Supervisor::InProcess).open().await.unwrap();
    let rig = staff(&town, &origin, 1, NewSettings::new()).await;
    let bead = town.operator().beads().create(gastown_core::NewBead::titled("lay the keel").in_rig(rig)).await.unwrap();
    town.operator().beads().sling(bead.id.clone()).await.unwrap();
    std::fs::rename(&origin, dir.path().join("elsewhere")).unwrap();
    let found = symptoms(&town, true).await;
    assert_eq!(
        named(&found),
        [
            (SymptomKind::EngineOff, "town", false),
            (SymptomKind::AgentCommandMissing, "harbour", false),
            (SymptomKind::SessionsBound, "town", false),
            (SymptomKind::RemoteUnusable, "harbour", false),
        ],
        "{found:#?}"
    );
    assert!(found.iter().all(|symptom| !symptom.remedy.is_empty()));
    assert!(found[3].problem.contains("does not exist"), "{found:#?}");
    town.close().await.unwrap();
}

/// A process of the town's runtime that the town knows nothing of, as one that was started before a restore.
async fn stray(dir: &Path, id: &SessionId) -> ProcessRuntime {
    let mut options = ProcessOptions::new(dir.join("town/sessions"));
    options.supervisor = Supervisor::program(env!("CARGO_BIN_EXE_town-child"));
    options.inherit_env = [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into();
    let runtime = ProcessRuntime::new(options).unwrap();
    let command = ["sh", "-c", "exec sleep 1000"].map(str::to_owned).to_vec();
    runtime.start(&SessionSpec::new(id.clone(), command, dir)).await.unwrap();
    runtime
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_needs_any_more_is_found_and_removed_and_nothing_else() {
    let yard = Yard::new("exec sleep 1000", []).await;
    let running = yard.sling("lay the keel").await;
    happened(&yard.town, &mut 0, "session.started", &BeadId::new(format!("s-{}-1", running.id)).unwrap()).await;
    let id = SessionId::new("s-ha-lost-1").unwrap();
    let runtime = stray(yard.dir.path(), &id).await;
    // What is left of a bead that is over, and of one that nobody knows.
    let closed = yard
        .town
        .operator()
        .beads()
        .create(gastown_core::NewBead::titled("sail").in_rig(yard.rig.clone()))
        .await
        .unwrap();
    yard.town.operator().beads().close(&closed.id).await.unwrap();
    let mirror = yard.dir.path().join("town/mirrors/harbour.git");
    let main = git(&mirror, &["rev-parse", "main"]);
    let over = format!("gt/saved/{}.1", closed.id);
    for branch in [&over, "gt/work/ha-none/toast.1"] {
        git(&mirror, &["branch", branch, &main]);
    }
    let kept = yard.dir.path().join("town/work/s-ha-none-1");
    std::fs::create_dir_all(kept.join("tree")).unwrap();

    let wanted = |repaired| {
        [
            (SymptomKind::ProcessOrphaned, id.as_str().to_owned(), repaired),
            (SymptomKind::WorkspaceOrphaned, "s-ha-none-1".to_owned(), false),
            (SymptomKind::MirrorBranchOrphaned, over.clone(), repaired),
            (SymptomKind::MirrorBranchOrphaned, "gt/work/ha-none/toast.1".to_owned(), false),
        ]
    };
    let owned = |symptoms: &[Symptom]| -> Vec<_> {
        named(symptoms).into_iter().map(|(kind, subject, repaired)| (kind, subject.to_owned(), repaired)).collect()
    };
    let young = owned(&symptoms(&yard.town, false).await);
    assert!(!young.iter().any(|(_, subject, _)| *subject == over), "it is kept for a while: {young:?}");
    let settings = NewSettings::from([("orphans.keep_ms".to_owned(), json!(0))]);
    yard.town.operator().rigs().configure(gastown_core::Configure { rig: None, settings }).await.unwrap();
    assert_eq!(owned(&symptoms(&yard.town, false).await), wanted(false));
    assert_eq!(owned(&symptoms(&yard.town, true).await), wanted(true));
    until("the stray process is over", async || {
        matches!(runtime.inspect(&id).await.unwrap().state, SessionState::Exited(_))
    })
    .await;
    let left = symptoms(&yard.town, true).await;
    let subjects: Vec<&str> = left.iter().map(|symptom| symptom.subject.as_str()).collect();
    assert_eq!(subjects, ["s-ha-none-1", "gt/work/ha-none/toast.1"], "what nobody knows the worth of stays");
    assert!(kept.exists() && left.iter().all(|symptom| symptom.remedy.contains("by hand")));

    // What works was left alone.
    let session = yard.sessions(&running.id).await.remove(0);
    assert_eq!(session.state, gastown_core::model::SessionState::Running);
    yard.town.operator().sessions().stop(session.id.clone()).await.unwrap();
    happened(&yard.town, &mut 0, "bead.retried", &running.id).await;
    std::fs::remove_dir_all(kept).unwrap();
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_removes_at_its_start_what_is_over_for_long_enough() {
    let yard = Yard::new(DONE, []).await;
    let settings = NewSettings::from([("orphans.keep_ms".to_owned(), json!(0))]);
    let configure = gastown_core::Configure { rig: None, settings };
    yard.town.operator().rigs().configure(configure).await.unwrap();
    let bead = yard.sling("lay the keel").await;
    let bead = yard.merged(&bead).await;
    yard.at_rest().await;
    yard.town.stop().await.unwrap();
    // As if the cleanup had been given up: the workspace of an ended session, with something that is in no commit.
    let session = yard.sessions(&bead.id).await.remove(0);
    let folder = yard.dir.path().join("town/work").join(session.id.as_str());
    let tree = folder.join("tree");
    std::fs::create_dir_all(&folder).unwrap();
    git(yard.dir.path(), &["clone", "-q", yard.origin.to_str().unwrap(), tree.to_str().unwrap()]);
    std::fs::write(tree.join("half"), "half").unwrap();
    let mirror = yard.dir.path().join("town/mirrors/harbour.git");
    let gate = yard.dir.path().join("town/gates/gate-ha-none-0123456789");
    std::fs::create_dir_all(&gate).unwrap();
    yard.town.start().await.unwrap();
    until("the folders are removed", async || !folder.exists() && !gate.exists()).await;
    let told = happened(&yard.town, &mut 0, "orphan.collected", &BeadId::new(session.id.as_str()).unwrap()).await;
    assert_eq!(told.data["kind"], "workspace");
    assert_eq!(git(&mirror, &["branch", "--list", "gt/work/*"]), "");
    yard.town.stop().await.unwrap();
    yard.town.close().await.unwrap();
    let town = open(yard.dir.path()).await;
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
}

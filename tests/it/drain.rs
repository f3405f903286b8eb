//! A machine that goes away: its work is at the remote, and another one goes on from there.

use std::path::Path;

use gastown_core::model::{BeadStatus, Resolution, SessionExit, SessionId};
use gastown_core::runtime::conformance::until;
use gastown_core::{All, DrainTown, Town};

use crate::support::{HANG, Yard, event, git, happened, open, processes_of, sh};

/// The first commits, leaves something uncommitted, says so, and waits; the second finds both and brings it home.
const DRAINED: &str = r#"
if [ "$GASTOWN_EPOCH" = 1 ]; then
    echo hull > hull.txt; git add -A; git commit -q -m hull
    echo half > mast.txt; echo changed >> shared.txt; rm README.md
    touch "$GASTOWN_TITLE"; exec sleep 1000
fi
[ "$(cat hull.txt mast.txt)" = "$(printf 'hull\nhalf')" ] || exit 3
[ "$(git status --porcelain | sort | tr '\n' ,)" = " D README.md, M shared.txt,?? mast.txt," ] || exit 4
git add -A; git commit -q -m mast
"#;

/// Waits until the session runs, for the town as well: one that is about to start is stopped without a grace.
async fn runs(yard: &Yard, flag: &Path) {
    until("the first session says that it is ready", async || flag.exists()).await;
    event(&yard.town, &mut 0, |event| event.kind == "session.started").await;
}

fn grace(ms: u64) -> DrainTown {
    DrainTown { grace_ms: Some(ms), ..DrainTown::because("the machine is taken away") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drained_host_had_committed_and_what_it_had_not_goes_on_on_another_machine() {
    let yard = Yard::new(DRAINED, []).await;
    let flag = yard.dir.path().join("ready");
    let bead = yard.sling(flag.to_str().unwrap()).await;
    runs(&yard, &flag).await;
    let main = git(&yard.origin, &["rev-parse", "main"]);
    tokio::time::timeout(HANG, yard.town.drain(grace(0))).await.expect("the drain hangs").unwrap();

    let first = yard.sessions(&bead.id).await.remove(0);
    assert_eq!(first.exit, Some(SessionExit::Drained));
    let (head, saved) = (first.head.unwrap(), first.saved.unwrap());
    let branch = format!("gt/saved/{}.1", bead.id);
    assert_eq!(git(&yard.origin, &["rev-parse", &branch]), saved.as_str());
    assert_eq!(git(&yard.origin, &["rev-parse", &format!("{branch}^")]), head.as_str());
    assert_eq!(git(&yard.origin, &["rev-parse", "main"]), main, "no branch that work lands on was touched");
    let waiting = yard.bead(&bead.id).await;
    assert_eq!((waiting.status, waiting.failures), (BeadStatus::Open, 0));
    assert_eq!(yard.town.drain(grace(0)).await.unwrap_err().code(), "engine_not_running");

    // Another machine has the town's database and nothing else of it.
    yard.town.close().await.unwrap();
    for folder in ["mirrors", "work", "sessions"] {
        std::fs::remove_dir_all(yard.dir.path().join("town").join(folder)).unwrap();
    }
    let yard = Yard { town: open(yard.dir.path()).await, ..yard };
    yard.town.start().await.unwrap();
    let bead = yard.merged(&bead).await;
    assert_eq!((bead.failures, bead.resolution), (0, Some(Resolution::Merged)));
    assert_eq!(git(&yard.origin, &["show", "main:mast.txt"]), "half");
    assert_eq!(git(&yard.origin, &["ls-tree", "--name-only", "main"]), "hull.txt\nmast.txt\nshared.txt");
    yard.at_rest().await;
    assert_eq!(git(&yard.origin, &["branch", "--list", "gt/*"]), "", "nothing of it is left at the remote");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_in_its_grace_is_done_and_nothing_is_saved_of_it() {
    let script = r#"touch "$GASTOWN_TITLE"; while [ ! -e "$GASTOWN_TITLE.go" ]; do sleep 0.02; done
        echo x > x; git add -A; git commit -q -m x"#;
    let yard = Yard::new(script, []).await;
    let flag = yard.dir.path().join("ready");
    let bead = yard.sling(flag.to_str().unwrap()).await;
    runs(&yard, &flag).await;
    let town = yard.town.clone();
    let drain = tokio::spawn(async move { town.drain(grace(600_000)).await });
    event(&yard.town, &mut 0, |event| event.kind == "engine.draining").await;
    let status = yard.town.operator().upkeep().status(All {}).await.unwrap();
    let draining = status.draining.unwrap();
    assert_eq!((draining.sessions, draining.reason.as_str()), (1, "the machine is taken away"));
    std::fs::write(yard.dir.path().join("ready.go"), "").unwrap();
    tokio::time::timeout(HANG, drain).await.expect("the drain hangs").unwrap().unwrap();
    let session = yard.sessions(&bead.id).await.remove(0);
    assert_eq!((session.exit, session.saved), (Some(SessionExit::Succeeded), None));
    yard.town.start().await.unwrap();
    yard.merged(&bead).await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crashed_session_had_not_committed_is_kept_and_the_next_is_told_of_it() {
    let script = r#"
        if [ "$GASTOWN_EPOCH" = 1 ]; then echo half > mast.txt; kill -9 $$; fi
        [ ! -e mast.txt ] || exit 3
        git show "$GASTOWN_SAVED:mast.txt" > mast.txt && git add -A && git commit -q -m mast"#;
    let yard = Yard::new(script, []).await;
    let bead = yard.sling("raise the mast").await;
    let bead = yard.merged(&bead).await;
    let tried = yard.town.operator().beads().attempts(&bead.id).await.unwrap().attempts;
    let exits: Vec<_> = tried.iter().map(|attempt| (attempt.exit, attempt.saved.is_some())).collect();
    assert_eq!(exits, [(Some(SessionExit::Crashed), true), (Some(SessionExit::Succeeded), false)]);
    assert_eq!(git(&yard.origin, &["show", "main:mast.txt"]), "half");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_called_off_says_so_and_the_session_goes_on() {
    let script = r#"touch "$GASTOWN_TITLE"; exec sleep 1000"#;
    let yard = Yard::new(script, []).await;
    let flag = yard.dir.path().join("ready");
    let bead = yard.sling(flag.to_str().unwrap()).await;
    runs(&yard, &flag).await;
    let town: Town = yard.town.clone();
    let drain = tokio::spawn(async move { town.drain(grace(600_000)).await });
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "engine.draining").await;
    yard.town.operator().upkeep().resume(All {}).await.unwrap();
    let ended = tokio::time::timeout(HANG, drain).await.expect("the drain hangs").unwrap();
    assert_eq!(ended.unwrap_err().code(), "drain_called_off");
    let session = SessionId::new(format!("s-{}-1", bead.id)).unwrap();
    let stopped = yard.town.operator().sessions().stop(session).await.unwrap();
    assert_eq!(stopped.ending, Some(SessionExit::Cancelled));
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_gate_ran_on_a_host_that_went_is_merged_by_the_next() {
    let script = "echo x > x; git add -A; git commit -q -m x";
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("go");
    let gate = format!("while [ ! -e {} ]; do sleep 0.02; done", flag.display());
    let yard = Yard::new(script, [("gate.command", sh(&gate))]).await;
    let bead = yard.sling("lay the keel").await;
    event(&yard.town, &mut 0, |event| event.kind == "review.built").await;
    tokio::time::timeout(HANG, yard.town.drain(grace(0))).await.expect("the drain hangs").unwrap();
    yard.town.close().await.unwrap();
    std::fs::write(&flag, "").unwrap();
    until("the gate of the first host is over", async || processes_of(yard.dir.path()).is_empty()).await;
    for folder in ["mirrors", "work", "gates", "sessions"] {
        // The gate may not have begun.
        match std::fs::remove_dir_all(yard.dir.path().join("town").join(folder)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.unwrap(),
        }
    }
    let yard = Yard { town: open(yard.dir.path()).await, ..yard };
    yard.town.start().await.unwrap();
    yard.merged(&bead).await;
    event(&yard.town, &mut 0, |event| event.kind == "review.unbuilt").await;
    assert_eq!(git(&yard.origin, &["show", "main:x"]), "x");
    yard.ends_tidy().await;
}

//! Agents that do not do what they should: real processes through the whole town.

use gastown_core::model::{BeadStatus, Resolution, SessionExit};
use gastown_core::{SessionRef, SlingConvoy, Task};
use serde_json::json;

use crate::support::{Yard, git, happened, processes_of, settled, sh};

/// Makes one commit.
const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

/// A script that misbehaves until it failed once, and then works.
fn once(bad: &str) -> String {
    format!(r#"if [ "$GASTOWN_FAILURES" = 0 ]; then {bad}; else {WORK}; fi"#)
}

async fn exits_of(yard: &Yard, bead: &gastown_core::Bead) -> Vec<SessionExit> {
    yard.sessions(&bead.id).await.into_iter().map(|session| session.exit.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_no_commit_fails_its_bead_in_the_end_and_the_convoy_says_so() {
    let yard = Yard::new("exit 0", []).await;
    let sling = SlingConvoy::new("nothing", yard.rig.clone(), vec![Task::new("a", []), Task::new("b", [0])]);
    let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
    let convoy = settled(&yard.town, &convoy).await;
    let failed = yard.bead(&convoy.members[0]).await;
    assert_eq!((failed.status, failed.resolution), (BeadStatus::Failed, Some(Resolution::AttemptsExhausted)));
    assert_eq!(exits_of(&yard, &failed).await, [SessionExit::ProtocolError; 2]);
    assert_eq!(convoy.state.as_str(), "needs_attention");
    assert!(convoy.reason.unwrap().contains(failed.id.as_str()));
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_fail_once_are_tried_again_and_land() {
    let cases = [
        ("exits with a code", "exit 9", SessionExit::Failed),
        ("dies by a signal", "kill -SEGV $$", SessionExit::Crashed),
        ("deletes its repository", "rm -rf .git", SessionExit::ProtocolError),
        (
            "works on another branch",
            "git checkout -q -b mine; echo a > a; git add -A; git commit -qm a",
            SessionExit::ProtocolError,
        ),
        (
            "leaves its work uncommitted",
            "dd if=/dev/zero of=big bs=1M count=200 2>/dev/null",
            SessionExit::ProtocolError,
        ),
        ("runs too long", "sleep 1000", SessionExit::TimedOut),
        ("runs too long and does not listen", "trap '' TERM; while true; do sleep 1; done", SessionExit::TimedOut),
    ];
    for (what, script, exit) in cases {
        let timeout = if exit == SessionExit::TimedOut { 500 } else { 60_000 };
        let yard = Yard::new(&once(script), [("session.timeout_ms", json!(timeout))]).await;
        let bead = yard.sling(what).await;
        happened(&yard.town, &mut 0, "bead.retried", &bead.id).await;
        yard.configure("session.timeout_ms", json!(60_000)).await;
        let bead = yard.merged(&bead).await;
        assert_eq!(exits_of(&yard, &bead).await, [exit, SessionExit::Succeeded], "{what}");
        let tried = yard.town.operator().beads().attempts(&bead.id).await.unwrap();
        assert_eq!(tried.failures + tried.agent_failures, 1, "{what}");
        assert_eq!(git(&yard.origin, &["show", &format!("main:{}.txt", bead.id)]), what);
        yard.ends_tidy().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_prints_is_bounded_and_holds_nothing_up() {
    let script = format!("yes 0123456789012345678901234567890123456789 | head -c 50000000; {WORK}");
    let yard = Yard::new(&script, [("session.output_bytes_max", json!(1_000_000))]).await;
    let bead = yard.merged(&yard.sling("loud").await).await;
    let session = &yard.sessions(&bead.id).await[0];
    let folder = yard.dir.path().join("town/sessions").join(session.id.as_str());
    let kept: u64 = walk(&folder);
    assert!((500_000..2_000_000).contains(&kept), "{kept} bytes are kept");
    yard.ends_tidy().await;
}

fn walk(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_it_started_outlives_it() {
    let script = format!("setsid sleep 1000 & (trap '' TERM HUP; sleep 1000) & nohup sleep 1000 & {WORK}");
    let yard = Yard::new(&script, []).await;
    yard.merged(&yard.sling("parent").await).await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist_is_nobodys_failure_and_parks_the_bead() {
    let yard = Yard::new("", [("agent.command", json!(["no-such-program"])), ("outages.max", json!(2))]).await;
    let sling = SlingConvoy::new("nobody", yard.rig.clone(), vec![Task::new("a", [])]);
    let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
    let convoy = settled(&yard.town, &convoy).await;
    assert!(convoy.reason.unwrap().starts_with("parked: "));
    let bead = yard.bead(&convoy.members[0]).await;
    assert_eq!((bead.status, bead.failures), (BeadStatus::Open, 0));
    assert!(bead.parked_reason.as_ref().unwrap().contains("no-such-program"), "{:?}", bead.parked_reason);
    assert_eq!(exits_of(&yard, &bead).await, [SessionExit::Refused; 2]);

    yard.configure("agent.command", sh(WORK)).await;
    yard.town.operator().beads().sling(bead.id.clone()).await.unwrap();
    happened(&yard.town, &mut 0, "convoy.landed", &convoy.id).await;
    assert_eq!(yard.bead(&bead.id).await.parked_reason, None);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rewriting_its_own_commits_is_its_own_business() {
    let script = r#"
        echo a > a; git add -A; git commit -q -m first; git push -q origin HEAD
        echo b > "$GASTOWN_BEAD.txt"; git add -A; git commit -q --amend -m second; git push -q --force origin HEAD
    "#;
    let yard = Yard::new(script, []).await;
    let bead = yard.merged(&yard.sling("rewriter").await).await;
    let subjects = git(&yard.origin, &["log", "--format=%s", "main"]);
    assert!(subjects.contains("second") && !subjects.contains("first"), "{subjects}");
    git(&yard.origin, &["cat-file", "-e", &format!("main:{}.txt", bead.id)]);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_plants_in_its_repository_is_never_run_by_us() {
    let dir = tempfile::tempdir().unwrap();
    let sentinel = dir.path().join("planted");
    let script = format!(
        r#"{WORK}
        plant="touch {}"
        for hook in pre-push post-checkout reference-transaction pre-receive update post-update fsmonitor-watchman; do
            printf '#!/bin/sh\n%s\n' "$plant" > ".git/hooks/$hook" 2>/dev/null || {{ mkdir -p .git/hooks; printf '#!/bin/sh\n%s\n' "$plant" > ".git/hooks/$hook"; }}
            chmod +x ".git/hooks/$hook"
        done
        git config core.fsmonitor "$plant; false"; git config core.sshCommand "$plant"; git config core.pager "$plant"
        git config filter.evil.clean "$plant"; git config filter.evil.smudge "$plant"; git config filter.evil.process "$plant"
        git config uploadpack.packObjectsHook "$plant"; git config core.hooksPath "$PWD/.git/hooks"
        echo '* filter=evil' > .git/info/attributes; echo '* filter=evil diff=evil merge=evil' > .gitattributes
        git config diff.evil.textconv "$plant"; git config merge.evil.driver "$plant"
        echo "ext::sh -c '$plant'" > .git/objects/info/alternates.planted"#,
        sentinel.display()
    );
    let yard = Yard::new(&script, [("gate.command", json!(["test", "-f", "README.md"]))]).await;
    yard.merged(&yard.sling("planter").await).await;
    assert!(!sentinel.exists(), "something that an agent planted was run");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_session_gives_its_bead_back_and_it_can_be_slung_again() {
    let yard = Yard::new("sleep 1000", []).await;
    let bead = yard.sling("stopped").await;
    let session = &yard.sessions(&bead.id).await[0];
    let mut since = 0;
    crate::support::event(&yard.town, &mut since, |event| event.kind == "session.started").await;
    assert!(!processes_of(yard.dir.path()).is_empty());
    yard.town.operator().sessions().stop(SessionRef { id: session.id.clone() }).await.unwrap();
    happened(&yard.town, &mut since, "bead.retried", &bead.id).await;
    let open = yard.bead(&bead.id).await;
    assert_eq!((open.status, open.slung, open.failures), (BeadStatus::Open, false, 0));
    assert_eq!(exits_of(&yard, &bead).await, [SessionExit::Cancelled]);
    yard.configure("agent.command", sh(WORK)).await;
    yard.town.operator().beads().sling(bead.id.clone()).await.unwrap();
    yard.merged(&bead).await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stopped_while_it_starts_ends_as_stopped() {
    let yard = Yard::new("sleep 1000", []).await;
    // At once: the session is planned, starting or running, and all of them must come to the same end.
    for title in ["a", "b", "c", "d"] {
        let bead = yard.sling(title).await;
        let sessions = yard.sessions(&bead.id).await;
        yard.town.operator().sessions().stop(SessionRef { id: sessions[0].id.clone() }).await.unwrap();
        happened(&yard.town, &mut 0, "bead.retried", &bead.id).await;
        assert_eq!(exits_of(&yard, &bead).await, [SessionExit::Cancelled]);
        assert!(!yard.bead(&bead.id).await.slung);
    }
    yard.ends_tidy().await;
}

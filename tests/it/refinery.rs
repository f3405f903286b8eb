//! The merge queue: gates, conflicts, targets that move, remotes that refuse.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use gastown_core::model::{AgentName, BeadId, BeadStatus, FailurePolicy, Resolution, RigName};
use gastown_core::{AddRig, NewBead, RegisterAgent, ReviewFilter, SlingConvoy, Task};
use serde_json::json;

use crate::support::{Yard, event, git, happened, origin, quick, settled, sh};

const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

fn hook(repository: &Path, name: &str, script: &str) {
    let path = repository.join("hooks").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_bead_lands_on_the_target_with_the_commit_its_gate_saw() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let gate = format!("git rev-parse HEAD >> {}; test \"$(git status --porcelain)\" = ''", seen.display());
    let yard = Yard::new(WORK, [("gate.command", sh(&gate))]).await;
    yard.merged(&yard.sling("alone").await).await;
    let tip = git(&yard.origin, &["rev-parse", "main"]);
    assert_eq!(std::fs::read_to_string(&seen).unwrap().trim(), tip);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_gate_sends_its_words_back_and_the_next_attempt_lands() {
    let script = r#"
        if [ "$GASTOWN_REWORK" = gate ]; then
            grep -q "the hull leaks" "$GASTOWN_BRIEF" && echo tight > hull.txt && git add -A && git commit -qm mend
        else echo leaky > hull.txt; git add -A; git commit -qm hull; fi
    "#;
    let gate = r#"if grep -q leaky hull.txt; then echo "the hull leaks"; exit 4; fi"#;
    let yard = Yard::new(script, [("gate.command", sh(gate))]).await;
    let bead = yard.sling("hull").await;
    let sent_back = happened(&yard.town, &mut 0, "bead.sent_back", &bead.id).await;
    assert_eq!(sent_back.data["reason"], "gate");
    assert!(sent_back.data["output"].as_str().unwrap().contains("the hull leaks"));
    yard.merged(&bead).await;
    assert_eq!(git(&yard.origin, &["show", "main:hull.txt"]), "tight");
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_sent_back_with_its_files() {
    let script = r#"
        if [ "$GASTOWN_REWORK" = conflict ]; then
            git fetch -q origin; git merge -q -X ours -m mend "origin/$GASTOWN_TARGET"
        else git reset -q --hard "$(git rev-list --max-parents=0 HEAD)"; echo "$GASTOWN_TITLE" > shared.txt; git add -A; git commit -qm x; fi
    "#;
    let yard = Yard::new(script, []).await;
    yard.merged(&yard.sling("first").await).await;
    let bead = yard.sling("second").await;
    let sent_back = happened(&yard.town, &mut 0, "bead.sent_back", &bead.id).await;
    assert_eq!((&sent_back.data["reason"], &sent_back.data["files"]), (&json!("conflict"), &json!(["shared.txt"])));
    yard.merged(&bead).await;
    assert_eq!(git(&yard.origin, &["show", "main:shared.txt"]), "second");
    yard.ends_tidy().await;
}

/// A gate that moves the target while it runs, `times` times.
fn meddling_gate(origin: &Path, count: &Path, times: usize) -> serde_json::Value {
    sh(&format!(
        r#"n=$(ls {count} | wc -l); [ $n -lt {times} ] || exit 0
        touch {count}/$n
        new=$(git -c user.name=o -c user.email=o@e commit-tree -p $(git --git-dir={origin} rev-parse main) -m "outside $n" $(git --git-dir={origin} rev-parse 'main^{{tree}}'))
        git push -q {origin} $new:refs/heads/main"#,
        count = count.display(),
        origin = origin.display()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_moves_during_the_gate_is_merged_anew() {
    let dir = tempfile::tempdir().unwrap();
    let yard = Yard::new(WORK, []).await;
    yard.configure("gate.command", meddling_gate(&yard.origin, dir.path(), 1)).await;
    let bead = yard.sling("patient").await;
    happened(&yard.town, &mut 0, "review.target_moved", &review_of(&yard, &bead.id).await).await;
    yard.merged(&bead).await;
    let subjects = git(&yard.origin, &["log", "--first-parent", "--format=%s", "main"]);
    assert_eq!(subjects.lines().nth(1), Some("outside 0"), "{subjects}");
    assert_eq!(subjects.lines().count(), 3);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_always_moves_ends_in_a_parked_bead() {
    let dir = tempfile::tempdir().unwrap();
    let yard = Yard::new(WORK, [("landing.attempts_max", json!(2))]).await;
    yard.configure("gate.command", meddling_gate(&yard.origin, dir.path(), 100)).await;
    let bead = yard.sling("unlucky").await;
    happened(&yard.town, &mut 0, "bead.parked", &bead.id).await;
    let bead = yard.bead(&bead.id).await;
    assert_eq!(bead.status, BeadStatus::Open);
    assert!(bead.parked_reason.unwrap().contains("2 attempts"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the gate ran twice");
    yard.ends_tidy().await;
}

/// The merge request of a bead, once there is one.
async fn review_of(yard: &Yard, bead: &BeadId) -> BeadId {
    let mut since = 0;
    event(&yard.town, &mut since, |event| event.kind == "review.queued" && event.data["source"] == json!(bead)).await;
    let filter = ReviewFilter { source: Some(bead.clone()), state: None };
    yard.town.operator().reviews().list(filter).await.unwrap().reviews[0].id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_that_the_remote_refuses_waits_and_lands_when_it_is_asked_to_again() {
    let yard = Yard::new(WORK, []).await;
    hook(&yard.origin, "update", r#"[ "$1" != refs/heads/main ] || { echo "main is frozen"; exit 1; }"#);
    let sling = SlingConvoy::new("ship", yard.rig.clone(), vec![Task::new("a", []), Task::new("b", [0])]);
    let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
    let stuck = settled(&yard.town, &convoy).await;
    assert_eq!(stuck.state.as_str(), "needs_attention");
    assert!(stuck.reason.as_ref().unwrap().contains("the remote does not take main"), "{:?}", stuck.reason);
    assert!(stuck.reason.unwrap().contains("main is frozen"), "the remote's own words");
    git(&yard.origin, &["cat-file", "-e", &format!("{}:{}.txt", stuck.branch, stuck.members[1])]);
    std::fs::remove_file(yard.origin.join("hooks/update")).unwrap();
    yard.town.operator().convoys().land(&convoy.id).await.unwrap();
    happened(&yard.town, &mut 0, "convoy.landed", &convoy.id).await;
    git(&yard.origin, &["cat-file", "-e", &format!("main:{}.txt", stuck.members[1])]);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_whose_branch_the_remote_refuses_goes_on_when_it_is_asked_to_again() {
    let yard = Yard::new(WORK, []).await;
    hook(&yard.origin, "pre-receive", "exit 1");
    let sling = SlingConvoy::new("ship", yard.rig.clone(), vec![Task::new("a", [])]);
    let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
    assert_eq!(settled(&yard.town, &convoy).await.state.as_str(), "needs_attention");
    std::fs::remove_file(yard.origin.join("hooks/pre-receive")).unwrap();
    yard.town.operator().convoys().land(&convoy.id).await.unwrap();
    happened(&yard.town, &mut 0, "convoy.landed", &convoy.id).await;
    yard.ends_tidy().await;
}

/// Fails the task of that name for as long as the file is not there.
fn failing(file: &Path) -> String {
    format!(r#"if [ "$GASTOWN_TITLE" = bad ] && [ ! -e {} ]; then exit 1; fi; {WORK}"#, file.display())
}

/// `bad` fails; `waits` waits for it and `later` for that; `other` stands alone.
fn tasks() -> Vec<Task> {
    vec![Task::new("bad", []), Task::new("waits", [0]), Task::new("later", [1]), Task::new("other", [])]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_that_blocks_goes_on_once_the_failed_bead_is_slung_again() {
    let dir = tempfile::tempdir().unwrap();
    let mended = dir.path().join("mended");
    let yard = Yard::new(&failing(&mended), []).await;
    let convoy = yard.town.operator().convoys().sling(SlingConvoy::new("c", yard.rig.clone(), tasks())).await.unwrap();
    let stuck = settled(&yard.town, &convoy).await;
    let bad = yard.bead(&stuck.members[index(&yard, &stuck.members, "bad").await]).await;
    assert_eq!(stuck.reason.unwrap(), format!("failed: {}", bad.id));
    assert_eq!(bad.status, BeadStatus::Failed);
    std::fs::write(&mended, "").unwrap();
    yard.town.operator().beads().reopen(&bad.id).await.unwrap();
    yard.town.operator().beads().sling(bad.id.clone()).await.unwrap();
    happened(&yard.town, &mut 0, "convoy.landed", &convoy.id).await;
    assert_eq!(yard.town.operator().convoys().get(&convoy.id).await.unwrap().progress.closed, 4);
    yard.ends_tidy().await;
}

async fn index(yard: &Yard, members: &[BeadId], title: &str) -> usize {
    for (at, id) in members.iter().enumerate() {
        if yard.bead(id).await.title == title {
            return at;
        }
    }
    panic!("no member is called {title}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_that_skips_or_continues_lands_without_the_failed_bead() {
    for policy in [FailurePolicy::Skip, FailurePolicy::Continue] {
        let yard = Yard::new(&failing(Path::new("/nowhere")), []).await;
        let sling = SlingConvoy { on_failure: policy, ..SlingConvoy::new("c", yard.rig.clone(), tasks()) };
        let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
        let landed = settled(&yard.town, &convoy).await;
        assert_eq!(landed.state.as_str(), "landed", "{policy}: {:?}", landed.reason);
        let want = if policy == FailurePolicy::Skip { Resolution::Skipped } else { Resolution::Landed };
        for (title, resolution) in
            [("bad", Resolution::AttemptsExhausted), ("waits", want), ("later", want), ("other", Resolution::Landed)]
        {
            let bead = yard.bead(&landed.members[index(&yard, &landed.members, title).await]).await;
            assert_eq!(bead.resolution, Some(resolution), "{policy}: {title}");
        }
        yard.ends_tidy().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rigs_work_side_by_side() {
    let yard = Yard::new(WORK, []).await;
    let dir = tempfile::tempdir().unwrap();
    let second = origin(dir.path());
    let rig = RigName::new("island").unwrap();
    let mut settings = quick([]);
    settings.insert("agent.command".to_owned(), sh(WORK));
    let operator = yard.town.operator();
    operator.rigs().add(AddRig { settings, ..AddRig::new(rig.clone(), second.to_str().unwrap()) }).await.unwrap();
    let agent = RegisterAgent::polecat(AgentName::new("ace").unwrap(), rig.clone());
    operator.agents().register(agent).await.unwrap();
    let here = yard.sling("here").await;
    let there = operator.beads().create(NewBead::titled("there").in_rig(rig)).await.unwrap();
    let there = operator.beads().sling(there.id).await.unwrap();
    let (here, there) = (yard.merged(&here).await, yard.merged(&there).await);
    git(&yard.origin, &["cat-file", "-e", &format!("main:{}.txt", here.id)]);
    git(&second, &["cat-file", "-e", &format!("main:{}.txt", there.id)]);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_that_conflicts_with_its_target_lands_once_somebody_mended_its_branch() {
    let yard = Yard::new(r#"echo ours > shared.txt; git add -A; git commit -qm "$GASTOWN_TITLE""#, []).await;
    // Somebody else changes the same line on the target while the convoy is under way.
    let aside = yard.dir.path().join("aside");
    git(yard.dir.path(), &["clone", "-q", yard.origin.to_str().unwrap(), aside.to_str().unwrap()]);
    std::fs::write(aside.join("shared.txt"), "theirs\n").unwrap();
    git(&aside, &["commit", "-q", "-a", "-m", "theirs"]);
    let gate =
        format!("[ -e {0}/pushed ] || {{ git -C {0} push -q origin main && touch {0}/pushed; }}", aside.display());
    yard.configure("gate.command", sh(&gate)).await;
    let sling = SlingConvoy::new("ship", yard.rig.clone(), vec![Task::new("a", [])]);
    let convoy = yard.town.operator().convoys().sling(sling).await.unwrap();
    let stuck = settled(&yard.town, &convoy).await;
    assert_eq!(stuck.reason.as_deref(), Some("its branch cannot land on main: conflict (shared.txt)"));

    git(&aside, &["fetch", "-q", "origin"]);
    let branch = format!("origin/{}", stuck.branch);
    git(&aside, &["merge", "-q", "-X", "theirs", "-m", "mend", &branch]);
    git(&aside, &["push", "-q", "origin", &format!("HEAD:refs/heads/{}", stuck.branch)]);
    yard.town.operator().convoys().land(&convoy.id).await.unwrap();
    happened(&yard.town, &mut 0, "convoy.landed", &convoy.id).await;
    assert_eq!(git(&yard.origin, &["show", "main:shared.txt"]), "ours");
    git(&yard.origin, &["merge-base", "--is-ancestor", &git(&aside, &["rev-parse", "HEAD"]), "main"]);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_away_for_a_while_costs_no_work() {
    let dir = tempfile::tempdir().unwrap();
    let away = dir.path().join("away.git");
    let script =
        format!(r#"{WORK}; mv "$(git -C "$(git remote get-url origin)" remote get-url origin)" {}"#, away.display());
    let yard = Yard::new(&script, [("effects.attempts_max", json!(1_000)), ("effects.backoff_ms", json!([50]))]).await;
    let bead = yard.sling("alone").await;
    event(&yard.town, &mut 0, |event| event.kind == "effect.retry" && event.subject.starts_with("publish#")).await;
    std::fs::rename(&away, &yard.origin).unwrap();
    yard.merged(&bead).await;
    assert_eq!(yard.sessions(&bead.id).await.len(), 1, "nobody had to work twice");
    yard.ends_tidy().await;
}

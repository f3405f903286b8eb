//! The program `gastown`, called as people and agents call it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gastown_core::model::UserId;
use gastown_core::runtime::Supervisor;
use gastown_core::{CommentsOf, IssueCapability, Town};
use serde_json::{Value as Json, json};

use crate::support::{Yard, git, open, origin, quick, sh, staff};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gastown-program");

/// The program with nothing of our environment.
fn gastown(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
    command
}

fn ended(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Calls the program with JSON in the town of a folder.
fn asked(town: &Path, args: &[&str]) -> Json {
    let (code, out, err) = ended(gastown(&["--json", "--db"]).arg(town).args(args));
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_person_works_with_a_town_that_nothing_else_has_open() {
    let dir = tempfile::tempdir().unwrap();
    let town = dir.path().join("town");
    let id = |bead: &Json| bead["id"].as_str().unwrap().to_owned();
    let keel = id(&asked(&town, &["--make", "create", "Lay the keel", "--priority", "1", "--label", "hull"]));
    let mast = id(&asked(&town, &["create", "Raise the mast", "--depends-on", &keel]));
    let titles = |args: &[&str]| {
        let page = asked(&town, args);
        page["beads"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(titles(&["beads"]), [keel.clone(), mast.clone()]);
    assert_eq!(titles(&["beads", "--label", "hull"]), std::slice::from_ref(&keel));
    assert_eq!(titles(&["beads", "--query", "priority < 2"]), std::slice::from_ref(&keel));
    assert_eq!(titles(&["ready"]), std::slice::from_ref(&keel));
    assert_eq!(asked(&town, &["show", &mast])["title"], "Raise the mast");
    assert_eq!(asked(&town, &["dep", "tree", &mast])["nodes"][0]["id"], keel.as_str());
    assert_eq!(asked(&town, &["explain", &mast])["is_ready"], false);
    asked(&town, &["dep", "remove", &mast, &keel]);
    assert_eq!(titles(&["ready"]).len(), 2);
    asked(&town, &["dep", "add", &keel, &mast]);
    assert_eq!(asked(&town, &["call", "beads.get", &json!({ "id": keel }).to_string()])["blockers"], 1);
    asked(&town, &["bead", "comment", "Mind the tide", "--id", &keel]);
    assert_eq!(asked(&town, &["bead", "comments", &keel])["comments"][0]["text"], "Mind the tide");
    assert!(asked(&town, &["convoy", "list"])["convoys"].as_array().unwrap().is_empty());
    assert!(asked(&town, &["status"])["beads"].is_array());
    assert!(asked(&town, &["doctor"])["symptoms"].is_array());
    assert_eq!(asked(&town, &["events", "--limit", "1"])["events"].as_array().unwrap().len(), 1);
    let (file, copy) = (dir.path().join("beads.jsonl"), dir.path().join("copy"));
    assert_eq!(asked(&town, &["export", file.to_str().unwrap()])["beads"], 2);
    assert_eq!(asked(&dir.path().join("other"), &["--make", "import", file.to_str().unwrap()])["created"], 2);
    asked(&town, &["backup", copy.to_str().unwrap()]);
    assert!(copy.is_dir());
    let (code, out, _) = ended(gastown(&["--db"]).arg(town.join("town.db")).arg("beads"));
    assert_eq!((code, out.lines().next()), (0, Some(&*format!("{:9} STATUS  PRIORITY  RIG  ASSIGNEE  TITLE", "ID"))));
    assert!(out.contains(&keel) && !out.contains('\x1b'), "{out}");
}

#[test]
fn what_goes_wrong_is_told_with_its_code_and_ends_by_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    let town = dir.path().join("town");
    asked(&town, &["--make", "status"]);
    let (nowhere, emptied) = (dir.path().join("nowhere"), dir.path().join("emptied"));
    std::fs::create_dir(&emptied).unwrap();
    std::fs::write(emptied.join("town.db"), "").unwrap();
    for (at, args, code, word) in [
        (Some(&town), &["show", "hq-none"][..], 3, "bead_missing"),
        (Some(&town), &["show", "no id!"], 2, "id_malformed"),
        (Some(&town), &["call", "no.such"], 3, "operation_unknown"),
        (Some(&town), &["call", "beads.get", "{"], 2, "input_malformed"),
        (Some(&town), &["prime"], 2, "no_agent"),
        (Some(&nowhere), &["status"], 3, "town_missing"),
        (Some(&emptied), &["status"], 3, "town_missing"),
        (None, &["status"], 2, "town_unnamed"),
    ] {
        let mut plain = gastown(args);
        if let Some(town) = at {
            plain.arg("--db").arg(town);
        }
        let (ended_with, out, err) = ended(&mut plain);
        assert_eq!((ended_with, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.starts_with("gastown: ") && err.ends_with(&format!(" ({word})\n")), "{args:?}: {err}");
        let (ended_with, out, err) = ended(plain.arg("--json"));
        let told: Json = serde_json::from_str(&err).unwrap();
        assert_eq!((ended_with, out.as_str(), &told["code"]), (code, "", &json!(word)), "{args:?}");
    }
    assert!(!nowhere.exists(), "asking makes no town");
    assert_eq!(std::fs::metadata(emptied.join("town.db")).unwrap().len(), 0, "nor one of what is left of one");
}

#[test]
fn every_shell_gets_its_completion_and_the_help_has_the_exit_codes() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = ended(&mut gastown(&["completion", shell]));
        assert!(code == 0 && out.contains("sling") && out.contains("prime"), "{shell}");
    }
    let (code, out, _) = ended(&mut gastown(&["--help"]));
    assert!(code == 0 && out.contains("4  conflict"), "{out}");
    let (code, out, _) = ended(&mut gastown(&["operations", "--json"]));
    let listed: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((code, listed["operations"].as_array().unwrap().len()), (0, gastown_core::operations().len()));
}

#[tokio::test]
async fn a_person_calls_a_running_town_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let town = open(dir.path()).await;
    town.serve().await.unwrap();
    let user = IssueCapability { user: Some(UserId::new("tess").unwrap()), ..IssueCapability::default() };
    let token = town.operator().capabilities().issue(user).await.unwrap().token;
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let place = dir.path().join("town");
    let call = move |args: &[&str]| {
        let mut command = gastown(args);
        command.arg("--town").arg(&place).arg("--token-file").arg(&file);
        tokio::task::spawn_blocking(move || ended(&mut command))
    };
    let (code, out, err) = call(&["create", "Lay the keel", "--json", "--key", "once"]).await.unwrap();
    assert_eq!((code, err.as_str()), (0, ""));
    let made: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(made["created_by"], "user/tess");
    let (_, again, _) = call(&["create", "Lay the keel", "--json", "--key", "once"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Json>(&again).unwrap(), made);
    let (code, _, err) = call(&["events", "--follow"]).await.unwrap();
    assert!(code == 9 && err.contains("(follow_remote)"), "{err}");
    town.close().await.unwrap();
    let (code, _, err) = call(&["beads"]).await.unwrap();
    assert!(code == 6 && err.contains("(town_unreachable)"), "{err}");
}

/// A town whose agents run this script, watched over by the program under its own name.
async fn yard(script: &str) -> Yard {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(PROGRAM, bin.join("gastown")).unwrap();
    let origin: PathBuf = origin(dir.path());
    let town = Town::builder(dir.path().join("town"))
        .supervisor(Supervisor::program(bin.join("gastown")))
        .open()
        .await
        .unwrap();
    let rig = staff(&town, &origin, 1, quick([("agent.command", sh(script))])).await;
    town.start().await.unwrap();
    Yard { town, rig, origin, dir }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_calls_the_town_with_what_it_was_started_with_and_nothing_else() {
    let yard = yard(
        "set -e
        gastown prime > prime.txt
        gastown prime --json > prime.json
        gastown bead comment 'The keel lies'
        gastown checkpoint 'half of it' > left.txt
        gastown bead create 'Order timber' --json > made.json
        if gastown sling \"$GASTOWN_BEAD\" 2> refused.txt; then exit 9; else test $? = 5; fi
        git add . && git commit -q -m 'Lay the keel'",
    )
    .await;
    let bead = yard.sling("Lay the keel").await;
    yard.merged(&bead).await;
    let file = |name: &str| git(&yard.origin, &["show", &format!("main:{name}")]);
    let told = file("prime.txt");
    assert!(told.contains("| Lay the keel") && told.contains("gastown checkpoint TEXT"), "{told}");
    let told: Json = serde_json::from_str(&file("prime.json")).unwrap();
    assert_eq!(told["bead"]["id"], bead.id.as_str());
    assert_eq!(told["principal"]["bead"], bead.id.as_str());
    assert!(file("refused.txt").contains("(role_not_allowed)"));
    let made: Json = serde_json::from_str(&file("made.json")).unwrap();
    assert_eq!((&made["title"], &made["rig"]), (&json!("Order timber"), &json!(yard.rig)));
    let comments = yard.town.operator().beads().comments(CommentsOf::from(&bead.id)).await.unwrap().comments;
    assert_eq!(comments.iter().filter(|it| it.text == "The keel lies").count(), 1);
    assert_eq!(yard.sessions(&bead.id).await[0].checkpoint, Some(json!("half of it")));
    yard.town.close().await.unwrap();
}

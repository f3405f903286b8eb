//! Towns in a Postgres database that several processes share.

use std::collections::BTreeSet;

use gastown_core::store::postgres::testing::TestServer;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::crash::Scene;
use crate::support::HANG;

fn scene() -> Scene {
    Scene::on(TestServer::shared().fresh_url())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convoy_lands_from_a_database() {
    let end = scene().ends_well(&[]).await;
    assert_eq!(end["exits"].as_array().unwrap().len(), 7, "five tasks, one failed and one sent back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_at_any_place_lands_from_a_database() {
    for (name, nth) in [("sling.after_commit", 1), ("start.spawned", 2), ("publish.pushed", 1), ("land.pushed", 3)] {
        let scene = scene();
        scene.killed_at(name, nth).await;
        scene.ends_well(&[]).await;
    }
}

/// Two hosts at once: the second waits, and takes over in the middle of the work when the first is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_takes_over_when_the_leader_is_killed() {
    for events in [25, 60] {
        let scene = scene();
        let mut leader = scene.host(&[], &["--shout"]).spawn().unwrap();
        let mut lines = BufReader::new(leader.stdout.take().unwrap()).lines();
        let work = async {
            // The leader leads before the other comes.
            lines.next_line().await.unwrap().expect("the leader works");
            let mut second = scene.host(&[], &["--wait"]).spawn().unwrap();
            let mut others = BufReader::new(second.stdout.take().unwrap()).lines();
            assert_eq!(others.next_line().await.unwrap().as_deref(), Some("waits"));
            loop {
                let line = lines.next_line().await.unwrap().expect("the leader is not done yet");
                if line.strip_prefix("event ").is_some_and(|seq| seq.parse::<u32>().unwrap() >= events) {
                    break;
                }
            }
            leader.kill().await.unwrap();
            let last = others.next_line().await.unwrap().expect("the second ends the work");
            assert!(second.wait().await.unwrap().success());
            scene.ended_well(&last).await;
        };
        tokio::time::timeout(HANG, work).await.expect("nobody takes over");
    }
}

/// Processes that make and claim at once: every bead is made once and claimed by one.
#[tokio::test(flavor = "multi_thread")]
async fn processes_at_once_lose_no_bead_and_claim_each_once() {
    let url = TestServer::shared().fresh_url();
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &'static str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_town-child"));
        child.arg("claim").arg(dir.path().join(name)).args([name, "30", "--store", &url]).kill_on_drop(true);
        async move { child.output().await.unwrap() }
    };
    let work = async { tokio::join!(run("nux"), run("slit"), run("toast")) };
    let (a, b, c) = tokio::time::timeout(HANG, work).await.expect("somebody hangs");
    let (mut made, mut claimed) = (Vec::new(), Vec::new());
    for output in [a, b, c] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            match line.split_once(' ').unwrap() {
                ("made", id) => made.push(id.to_owned()),
                (_, id) => claimed.push(id.to_owned()),
            }
        }
    }
    let one_of_each = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!((made.len(), one_of_each(&made).len()), (90, 90));
    assert_eq!(claimed.len(), 90, "each is claimed once");
    assert_eq!(one_of_each(&claimed), one_of_each(&made));
}

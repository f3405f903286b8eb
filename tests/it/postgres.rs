//! Towns in a Postgres database that several processes share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{Key, LeaderRow, Row, Timestamp, TownId};
use gastown_core::store::postgres::testing::TestServer;
use gastown_core::store::{Access, Backend as _, PostgresBackend};
use gastown_core::{Clock as _, ManualClock, Town};
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

/// A leader on another machine dies without a sign: nobody can tell, so its lease holds to its end, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_another_machine_is_taken_over_when_its_term_is_over() {
    let url = TestServer::shared().fresh_url();
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Timestamp::from_micros(1_800_000_000_000_000));
    let open = |name: &str| {
        let backend = PostgresBackend::new(&url).unwrap();
        let builder = Town::builder(dir.path().join(name)).from_env().clock(Arc::new(clock.clone()));
        builder.backend(Arc::new(backend)).open()
    };
    let (first, second) = (open("first").await.unwrap(), open("second").await.unwrap());

    // The first leads on a runtime of its own, which goes away as a machine does: nothing is given back.
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let leads = first.clone();
    machine.spawn(async move { leads.start().await.unwrap() }).await.unwrap();
    assert_eq!(second.start().await.unwrap_err().code(), "engine_running_elsewhere");
    machine.shutdown_background();
    let (held, epoch) = of_another_machine(&url).await;
    assert_eq!(held.since(clock.now()), Duration::from_secs(90), "the term");

    for seconds in [0, 30, 59] {
        clock.advance(Duration::from_secs(seconds));
        let error = second.start().await.unwrap_err();
        assert_eq!((error.code(), error.fact("holder")), ("engine_running_elsewhere", Some(ELSEWHERE)), "{error:?}");
    }
    clock.advance(Duration::from_secs(1));
    second.start().await.unwrap();
    let row = leader(&url).await;
    assert_ne!(row.holder, ELSEWHERE);
    assert_eq!((row.epoch, row.lease_until.since(clock.now())), (epoch + 1, Duration::from_secs(90)));
    // The other machine was only slow: it finds that somebody else leads, and does nothing.
    let error = first.start().await.unwrap_err();
    assert_eq!(error.code(), "engine_running_elsewhere");
    second.stop().await.unwrap();
    first.close().await.unwrap();
    second.close().await.unwrap();
}

/// Who leads there: a boot, process and start that are none of this machine's.
const ELSEWHERE: &str = "another-boot:4711:42:1";

/// The leader's row, as it is now or as `change` makes it.
async fn leader_as(url: &str, change: Option<fn(&mut LeaderRow)>) -> LeaderRow {
    let backend = PostgresBackend::new(url).unwrap();
    let thread = std::thread::spawn(move || {
        let mut connection = backend.connect(Access::Write).unwrap();
        let mut txn = connection.write(&TownId::new("town").unwrap()).unwrap();
        let Some(Row::Leader(mut row)) = txn.get(&Key::leader()).unwrap() else { panic!("nobody leads") };
        if let Some(change) = change {
            change(&mut row);
            txn.put(&Row::Leader(row.clone())).unwrap();
            txn.commit().unwrap();
        }
        row
    });
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

async fn leader(url: &str) -> LeaderRow {
    leader_as(url, None).await
}

/// Makes the lease one of another machine; gives its end and its epoch.
async fn of_another_machine(url: &str) -> (Timestamp, i64) {
    let row = leader_as(url, Some(|row| ELSEWHERE.clone_into(&mut row.holder))).await;
    (row.lease_until, row.epoch)
}

/// Several towns share a database; a name that none of them has is an error and no new town.
#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_name_is_no_new_town_of_a_database() {
    let url = TestServer::shared().fresh_url();
    let dir = tempfile::tempdir().unwrap();
    let open = |id: &str, create: bool| {
        let backend = PostgresBackend::new(&url).unwrap();
        Town::builder(dir.path().join(id)).id(id).create(create).backend(Arc::new(backend)).open()
    };
    open("harbour", false).await.unwrap().close().await.unwrap();
    open("mill", true).await.unwrap().close().await.unwrap();
    let error = open("harbor", false).await.unwrap_err();
    assert_eq!((error.code(), error.fact("town")), ("town_missing", Some("harbor")));
    assert_eq!(error.fact("there"), Some("harbour, mill"));
    open("mill", false).await.unwrap().close().await.unwrap();
    assert_eq!(open("harbor", false).await.unwrap_err().code(), "town_missing", "asking made nothing");
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

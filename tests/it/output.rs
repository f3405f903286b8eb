//! What agents print and tell: read, followed, bounded, removed and copied beside the town's database.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::{EventFlaw, OutputStream, SessionId, SessionState};
use gastown_core::runtime::conformance::{Act, until};
use gastown_core::runtime::{
    ContainerRuntime, ExitOutcome, ProcessOptions, ProcessRuntime, Script, ScriptedRuntime, SessionSpec, Supervisor,
    copy_output,
};
use gastown_core::{All, ErrorKind, ManualClock, NewBead, OutputPage, OutputQuery, Session, Town};
use serde_json::json;

use crate::support::{HANG, Yard, event, happened, staff};

const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

async fn session_of(yard: &Yard, script: &str) -> Session {
    yard.configure("agent.command", crate::support::sh(script)).await;
    let bead = yard.sling("loud").await;
    yard.sessions(&bead.id).await.remove(0)
}

async fn read(yard: &Yard, query: OutputQuery) -> OutputPage {
    yard.town.operator().sessions().output(query).await.unwrap()
}

async fn ended(yard: &Yard, id: &SessionId) {
    event(&yard.town, &mut 0, |event| event.kind == "session.ended" && event.subject == id.as_str()).await;
}

/// Everything that a follower is given.
async fn followed(yard: &Yard, query: OutputQuery) -> Vec<OutputPage> {
    let mut follow = yard.town.operator().sessions().follow(query).unwrap();
    let mut pages = Vec::new();
    let all = async {
        while let Some(page) = follow.next().await.unwrap() {
            pages.push(page);
        }
    };
    tokio::time::timeout(HANG, all).await.expect("the session and what it prints end");
    assert_eq!(follow.next().await.unwrap(), None, "over is over");
    let (last, before) = pages.split_last().expect("there is a last page");
    assert!(last.is_final && before.iter().all(|page| !page.is_final && page.next_offset > page.offset), "{pages:?}");
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_while_the_session_runs_after_its_end_and_by_the_next_host() {
    let yard = Yard::new("", []).await;
    let script = format!("echo begun; until [ -e \"$GASTOWN_BRIEF.go\" ]; do sleep 0.02; done; {WORK}; echo done");
    let session = session_of(&yard, &script).await;
    let mut follow = yard.town.operator().sessions().follow(session.id.clone()).unwrap();
    let page = tokio::time::timeout(HANG, follow.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((page.text.as_str(), page.offset, page.next_offset, page.is_final), ("begun\n", 0, 6, false));
    let known = yard.town.operator().sessions().get(session.id.clone()).await.unwrap().output.unwrap();
    assert_eq!((known.bytes, known.dropped_bytes, known.is_removed), (Some(6), Some(0), false));
    let brief = yard.dir.path().join("town/work").join(session.id.as_str()).join("brief.json.go");
    fs::write(brief, "").unwrap();
    let page = tokio::time::timeout(HANG, follow.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(page.text, "done\n");
    ended(&yard, &session.id).await;

    let whole = read(&yard, session.id.clone().into()).await;
    assert_eq!((whole.text.as_str(), whole.is_final, whole.bytes), ("begun\ndone\n", true, None));
    let part = OutputQuery { after: 6, limit_bytes: Some(16), raw: true, ..OutputQuery::of(session.id.clone()) };
    assert_eq!(read(&yard, part).await.bytes.unwrap(), b"done\n");
    let beyond = read(&yard, OutputQuery { after: 1 << 40, ..OutputQuery::of(session.id.clone()) }).await;
    assert_eq!((beyond.text.as_str(), beyond.next_offset, beyond.is_final), ("", 1 << 40, true));
    yard.town.close().await.unwrap();
    let error = follow.next().await;
    assert!(matches!(&error, Ok(None)) || error.is_err_and(|error| error.code() == "store_closed"));

    let town = crate::support::open(yard.dir.path()).await;
    let again = town.operator().sessions().output(session.id.clone()).await.unwrap();
    assert_eq!(again.text, "begun\ndone\n");
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_says_why() {
    let yard = Yard::new("exit 0", []).await;
    let sessions = yard.town.operator().sessions();
    let nobody = sessions.output(SessionId::new("s-none").unwrap()).await.unwrap_err();
    assert_eq!((nobody.kind(), nobody.code()), (ErrorKind::NotFound, "session_missing"));
    let session = session_of(&yard, "echo hello").await;
    for limit in [0, 15, (1 << 20) + 1] {
        let query = OutputQuery { limit_bytes: Some(limit), ..OutputQuery::of(session.id.clone()) };
        assert_eq!(sessions.output(query.clone()).await.unwrap_err().code(), "limit_out_of_range");
        assert_eq!(sessions.follow(query).unwrap_err().code(), "limit_out_of_range");
    }
    let call = async |input| yard.town.operator().call("sessions.output", input).await.unwrap_err();
    assert_eq!(call(json!({ "session": session.id, "after": -1 })).await.code(), "input_malformed");
    assert_eq!(call(json!({ "session": session.id, "stream": "smoke" })).await.code(), "word_unknown");
    ended(&yard, &session.id).await;

    // It is another rig's, for all that another rig knows.
    let elsewhere = yard.town.rig(gastown_core::model::RigName::new("elsewhere").unwrap());
    assert_eq!(elsewhere.sessions().output(session.id.clone()).await.unwrap_err().code(), "session_missing");
    let mut follow = elsewhere.sessions().follow(session.id.clone()).unwrap();
    assert_eq!(follow.next().await.unwrap_err().code(), "session_missing");
    let swept = elsewhere.sessions().sweep(All {}).await.unwrap_err();
    assert_eq!((swept.kind(), swept.code()), (ErrorKind::Forbidden, "scope_too_narrow"));

    // In JSON, bytes are base64.
    let input = json!({ "session": session.id, "raw": true });
    let answer = yard.town.operator().call("sessions.output", input).await.unwrap();
    assert_eq!(
        (&answer["text"], &answer["bytes"], &answer["events"]),
        (&json!("hello\n"), &json!("aGVsbG8K"), &json!(null))
    );
    yard.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_character_is_never_cut_in_two() {
    let text = "äöü€𝄞".repeat(200);
    let yard = Yard::new("", []).await;
    // A byte at a time, and an end in the middle of one.
    let script = "printf '\\303'; sleep 0.05; printf '\\244'; printf %s \"$TEXT\"; printf '\\342\\202'";
    yard.configure("agent.environment", json!({ "TEXT": text })).await;
    let session = session_of(&yard, script).await;
    for limit in [16, 17, 18, 19, 4096] {
        let query = OutputQuery { limit_bytes: Some(limit), raw: true, ..OutputQuery::of(session.id.clone()) };
        let pages = followed(&yard, query).await;
        let whole: String = pages.iter().map(|page| page.text.as_str()).collect();
        assert_eq!(whole, format!("ä{text}\u{fffd}"), "pages of {limit}");
        assert!(pages.iter().all(|page| page.bytes.as_ref().unwrap().len() <= limit));
        assert_eq!(pages.last().unwrap().next_offset, 2 + text.len() as u64 + 2);
    }
    yard.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_events_have_a_stream_of_their_own_and_no_line_is_lost() {
    let yard = Yard::new("", []).await;
    let script = r#"
        echo '{"kind": "turn", "tokens": 12}' >> "$GASTOWN_EVENTS_FILE"
        echo 'not JSON' >> "$GASTOWN_EVENTS_FILE"
        echo plain output
        printf '\n{"kind": "end"}\n{"torn' >> "$GASTOWN_EVENTS_FILE""#;
    let session = session_of(&yard, script).await;
    let query = OutputQuery { stream: OutputStream::Events, ..OutputQuery::of(session.id.clone()) };
    let pages = followed(&yard, query.clone()).await;
    let seen: Vec<_> = pages.iter().flat_map(|page| page.events.clone().unwrap()).collect();
    assert_eq!(seen[0].data, Some(json!({ "kind": "turn", "tokens": 12 })));
    assert_eq!((seen[1].text.as_deref(), seen[1].flaw), (Some("not JSON"), Some(EventFlaw::Malformed)));
    assert_eq!((seen[2].data.clone(), seen[2].offset), (Some(json!({ "kind": "end" })), 41));
    assert_eq!((seen[3].text.as_deref(), seen[3].flaw), (Some("{\"torn"), Some(EventFlaw::Incomplete)));
    assert_eq!(seen.len(), 4);
    assert_eq!(read(&yard, session.id.clone().into()).await.text, "plain output\n");
    // A line that no page holds is given in pieces, all of them marked.
    let small = read(&yard, OutputQuery { limit_bytes: Some(16), ..query.clone() }).await;
    assert_eq!(small.events.unwrap()[0].flaw, Some(EventFlaw::Incomplete));
    let second = read(&yard, OutputQuery { after: 16, ..query }).await.events.unwrap();
    assert_eq!((second[0].flaw, second[1].flaw), (Some(EventFlaw::Incomplete), Some(EventFlaw::Malformed)));
    yard.town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stays_within_its_bound_and_the_town_and_other_sessions_go_on_beside_it() {
    let yard = Yard::new("", [("session.output_bytes_max", json!(1_000_000))]).await;
    yard.configure("session.events_bytes_max", json!(100_000)).await;
    let flood = "yes '{\"flood\": 1}' > \"$GASTOWN_EVENTS_FILE\" & exec yes 0123456789012345678901234567890123456789";
    let loud = session_of(&yard, flood).await;
    let sessions = yard.town.operator().sessions();
    let printed = async |least: u64| {
        let mut follow = sessions.follow(OutputQuery { after: least, ..OutputQuery::of(loud.id.clone()) }).unwrap();
        tokio::time::timeout(HANG, follow.next()).await.expect("it prints that much").unwrap().unwrap()
    };
    printed(1).await;

    // Beside it: another agent works to its end, its output is followed, and commands are answered.
    yard.configure("agent.command", crate::support::sh(&format!("echo quiet; {WORK}"))).await;
    let bead = yard.sling("quiet").await;
    let quiet = yard.sessions(&bead.id).await.remove(0);
    let pages = followed(&yard, quiet.id.clone().into()).await;
    assert_eq!(pages.iter().map(|page| page.text.as_str()).collect::<String>(), "quiet\n");
    yard.merged(&bead).await;
    for n in 0..50 {
        yard.town.operator().beads().create(NewBead::titled(format!("beside {n}"))).await.unwrap();
    }
    let page = printed(60_000_000).await;
    assert!(page.next_offset > 60_000_000 && page.dropped_bytes < 1 << 40);
    let folder = yard.dir.path().join("town/sessions").join(loud.id.as_str());
    let on_disk = |part: &str| size(&folder.join(part));
    assert!(on_disk("output") <= 1_000_000, "{} bytes", on_disk("output"));
    assert!(on_disk("events") <= 100_000, "{} bytes", on_disk("events"));

    sessions.stop(loud.id.clone()).await.unwrap();
    ended(&yard, &loud.id).await;
    let head = read(&yard, loud.id.clone().into()).await;
    assert_eq!((head.offset, head.dropped_bytes), (0, 0), "the beginning is kept");
    let known = sessions.get(loud.id.clone()).await.unwrap().output.unwrap();
    let (bytes, dropped) = (known.bytes.unwrap(), known.dropped_bytes.unwrap());
    assert!(bytes > 60_000_000 && bytes - dropped <= 1_000_000);
    // A whole reading adds up.
    let (mut seen, mut missed) = (0, 0);
    for page in followed(&yard, OutputQuery { limit_bytes: Some(1 << 20), ..OutputQuery::of(loud.id.clone()) }).await {
        seen += page.next_offset - page.offset;
        missed += page.dropped_bytes;
    }
    assert_eq!((seen + missed, missed), (bytes, dropped));
    yard.ends_tidy().await;
}

fn size(folder: &Path) -> u64 {
    // A segment may go between the listing and the look.
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().map_or(0, |found| found.len())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_removed_by_age_and_by_size_and_never_that_of_a_running_session() {
    let yard = Yard::new("", []).await;
    // Its next attempt does not print while others are counted.
    yard.configure("failures.backoff_ms", json!([3_600_000])).await;
    let old = session_of(&yard, "echo old; exit 1").await;
    ended(&yard, &old.id).await;
    happened(&yard.town, &mut 0, "bead.retried", &old.bead).await;
    let sessions = yard.town.operator().sessions();
    let kept = sessions.sweep(All {}).await.unwrap();
    assert_eq!((kept.removed_sessions, kept.has_more), (0, false), "it is neither old nor much");
    yard.at_rest().await;
    let running = session_of(&yard, "echo running; exec sleep 1000").await;
    let mut follow = sessions.follow(running.id.clone()).unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().text, "running\n");

    yard.town.operator().rigs().configure(settings("output.bytes_max", json!(0))).await.unwrap();
    let swept = sessions.sweep(All {}).await.unwrap();
    assert!(swept.removed_sessions >= 1 && swept.removed_bytes >= 4, "{swept:?}");
    assert_eq!((swept.kept_sessions, swept.kept_bytes), (1, 8), "what runs stays");
    let gone = sessions.output(old.id.clone()).await.unwrap_err();
    assert_eq!((gone.kind(), gone.code()), (ErrorKind::NotFound, "output_gone"));
    assert_eq!(gone.fact("session"), Some(old.id.as_str()));
    let known = sessions.get(old.id.clone()).await.unwrap().output.unwrap();
    assert_eq!((known.bytes, known.is_removed), (None, true));
    let said = event(&yard.town, &mut 0, |event| event.kind == "session.output_expired").await;
    assert_eq!(said.data["why"], "size");
    assert_eq!(read(&yard, running.id.clone().into()).await.text, "running\n");

    sessions.stop(running.id.clone()).await.unwrap();
    ended(&yard, &running.id).await;
    yard.at_rest().await;
    yard.town.operator().rigs().configure(settings("output.bytes_max", json!(null))).await.unwrap();
    yard.configure("output.keep_ms", json!(0)).await;
    let swept = sessions.sweep(All {}).await.unwrap();
    assert_eq!((swept.removed_sessions, swept.kept_sessions, swept.kept_bytes), (1, 0, 0));
    yard.ends_tidy().await;
}

fn settings(name: &str, value: serde_json::Value) -> gastown_core::Configure {
    gastown_core::Configure { rig: None, settings: gastown_core::NewSettings::from([(name.to_owned(), value)]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_sweeps_by_itself_when_it_starts() {
    let yard = Yard::new("echo old; exit 1", []).await;
    let bead = yard.sling("old").await;
    let old = yard.sessions(&bead.id).await.remove(0);
    happened(&yard.town, &mut 0, "bead.failed", &bead.id).await;
    yard.at_rest().await;
    yard.town.stop().await.unwrap();
    yard.configure("output.keep_ms", json!(0)).await;
    yard.town.start().await.unwrap();
    event(&yard.town, &mut 0, |event| event.kind == "session.output_expired" && event.subject == old.id.as_str()).await;
    until("it is gone", async || {
        let answer = yard.town.operator().sessions().output(old.id.clone()).await;
        answer.is_err_and(|error| error.code() == "output_gone")
    })
    .await;
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_of_the_hosts_is_read_followed_and_swept_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let origin = crate::support::origin(dir.path());
    let script = |_: &SessionSpec| Script::hangs().prints("one\n").tells("{\"n\": 1}\n");
    let runtime = Arc::new(ScriptedRuntime::new(script));
    let clock = ManualClock::at(gastown_core::model::Timestamp::from_micros(1_000_000));
    let builder = Town::builder(dir.path().join("town")).from_env().clock(Arc::new(clock.clone()));
    let town = builder.runtime(runtime.clone()).open().await.unwrap();
    let command = gastown_core::NewSettings::from([("agent.command".to_owned(), json!(["any"]))]);
    let rig = staff(&town, &origin, 1, command).await;
    town.start().await.unwrap();
    let operator = town.operator();
    let bead = operator.beads().create(NewBead::titled("scripted").in_rig(rig)).await.unwrap();
    operator.beads().sling(bead.id.clone()).await.unwrap();
    let of_bead = gastown_core::SessionFilter { bead: Some(bead.id.clone()), state: None };
    let session = operator.sessions().list(of_bead).await.unwrap().sessions.remove(0);

    // Followed from before it began.
    let mut follow = operator.sessions().follow(session.id.clone()).unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().text, "one\n");
    let mut more = Box::pin(follow.next());
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut more).await.is_err(), "there is no more yet");
    assert!(runtime.print(&session.id, b"two\n"));
    assert_eq!(more.await.unwrap().unwrap().text, "two\n");
    assert!(runtime.finish(&session.id, ExitOutcome::Exited { code: 1 }));
    let last = follow.next().await.unwrap().unwrap();
    assert_eq!((last.text.as_str(), last.next_offset, last.is_final), ("", 8, true));
    assert_eq!(follow.next().await.unwrap(), None);
    let events = OutputQuery { stream: OutputStream::Events, ..OutputQuery::of(session.id.clone()) };
    let page = operator.sessions().output(events).await.unwrap();
    assert_eq!((page.events.unwrap()[0].data.clone(), page.is_final), (Some(json!({ "n": 1 })), true));

    event(&town, &mut 0, |event| event.kind == "session.ended").await;
    until("nothing needs it", async || {
        clock.advance(Duration::from_secs(8 * 24 * 3600));
        operator.sessions().sweep(All {}).await.unwrap().removed_sessions == 1
            || operator.sessions().output(session.id.clone()).await.is_err_and(|error| error.code() == "output_gone")
    })
    .await;
    let ended = operator.sessions().get(session.id.clone()).await.unwrap();
    assert_eq!((ended.state, ended.output.unwrap().is_removed), (SessionState::Ended, true));
    town.close().await.unwrap();
}

fn processes(folder: &Path) -> ProcessRuntime {
    let supervisor = Supervisor::program(env!("CARGO_BIN_EXE_town-child"));
    ProcessRuntime::new(ProcessOptions::new(folder.join("sessions")).supervisor(supervisor)).unwrap()
}

/// Numbered lines of 16 bytes, so that a reader knows what is where, for as long as the test's folder is there.
const COUNTED: &str = "i=0; while [ -d \"$PWD\" ]; do i=$((i+1)); printf '%015d\\n' $i; done";

fn check_counted(offset: u64, bytes: &[u8]) {
    for (byte, at) in bytes.iter().zip(offset..) {
        let line = format!("{:015}\n", at / 16 + 1);
        assert_eq!(*byte, line.as_bytes()[usize::try_from(at % 16).unwrap()], "at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_or_supervisor_takes_nothing_back() {
    for cycle in 0..8_u64 {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionId::new("s-1").unwrap();
        let mut host = Command::new(env!("CARGO_BIN_EXE_town-child"))
            .arg("host")
            .args([folder.path().join("sessions").as_path(), Path::new("s-1"), folder.path()])
            .args(["/bin/sh", "-c", COUNTED])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("it is started", async || folder.path().join("sessions/s-1/lease.json").exists()).await;
        let runtime = processes(folder.path());
        let mut offset = 0;
        let mut read_on = async |until_offset: u64| {
            while offset < until_offset {
                let chunk = runtime.output(&session, offset, 4096).await.unwrap();
                assert!(chunk.offset >= offset, "offsets never go backwards");
                check_counted(chunk.offset, &chunk.bytes);
                offset = chunk.next_offset();
                if chunk.bytes.is_empty() {
                    runtime.grown(&session, OutputStream::Output, offset).await.unwrap();
                }
            }
            offset
        };
        read_on(1_000 * (cycle + 1)).await;
        host.kill().unwrap();
        host.wait().unwrap();
        let seen = read_on(10_000 + 777 * cycle).await;
        let lease: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("sessions/s-1/lease.json")).unwrap()).unwrap();
        let supervisor = lease["supervisor"]["pid"].to_string();
        assert!(Command::new("kill").args(["-9", &supervisor]).status().unwrap().success());
        let record = runtime.wait(&session).await.unwrap();
        assert_eq!(record.outcome, ExitOutcome::Lost);
        assert!(record.output_bytes >= seen, "what was read is there");
        let mut again = Vec::new();
        while (again.len() as u64) < record.output_bytes {
            let chunk = processes(folder.path()).output(&session, again.len() as u64, 1 << 20).await.unwrap();
            assert!(!chunk.bytes.is_empty());
            again.extend(chunk.bytes);
        }
        check_counted(0, &again);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_broken_off_is_finished_later() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = processes(folder.path());
    let sessions = folder.path().join("sessions");
    // As a host leaves it that dies between renaming and removing, with part of it removed.
    fs::create_dir_all(sessions.join(".trash-1-1/output")).unwrap();
    fs::write(sessions.join(".trash-1-1/output/00000001.log"), "x").unwrap();
    assert!(runtime.list().await.unwrap().is_empty());
    runtime.tidy().await.unwrap();
    assert_eq!(fs::read_dir(&sessions).unwrap().count(), 0);
    fs::create_dir(sessions.join(".trash-1-2")).unwrap();
    drop(processes(folder.path()));
    assert_eq!(fs::read_dir(&sessions).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_beside_a_writer_is_whole_and_leaves_the_original_alone() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = processes(folder.path());
    let spec = |name: &str, command: &[String]| {
        let mut spec = SessionSpec::new(SessionId::new(name).unwrap(), command, folder.path());
        spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        spec.output_bytes_max = 128 << 10;
        spec.events_bytes_max = 64 << 10;
        spec
    };
    let (done, busy) = (SessionId::new("s-done").unwrap(), SessionId::new("s-busy").unwrap());
    runtime.start(&spec("s-done", &Act::Tells("{}\n".to_owned()).shell())).await.unwrap();
    runtime.wait(&done).await.unwrap();
    runtime.start(&spec("s-busy", &Act::Shell(COUNTED.to_owned()).shell())).await.unwrap();
    let mut seen = 0;
    for turn in 1..=5_u64 {
        while seen < turn * 100_000 {
            runtime.grown(&busy, OutputStream::Output, seen).await.unwrap();
            seen = runtime.inspect(&busy).await.unwrap().output_bytes;
        }
        let to = folder.path().join(format!("copy-{turn}"));
        let copied = copy_output(&folder.path().join("sessions"), &to.join("sessions")).unwrap_err();
        assert_eq!(copied.code(), "output_copy_failed", "its parent is not there");
        fs::create_dir(&to).unwrap();
        let copied = runtime.copy_output(&to.join("sessions")).await.unwrap();
        assert_eq!(copied.sessions, 2);

        let copy = processes(&to);
        let record = copy.wait(&busy).await.unwrap();
        assert_eq!(record.outcome, ExitOutcome::Lost, "it runs in the original");
        assert!(record.output_bytes >= seen);
        let mut offset = 0;
        while offset < record.output_bytes {
            let chunk = copy.output(&busy, offset, 1 << 20).await.unwrap();
            assert!(!chunk.bytes.is_empty());
            check_counted(chunk.offset, &chunk.bytes);
            offset = chunk.next_offset();
        }
        assert!(copy.check_output().await.unwrap().is_empty(), "what a copy lacks by its nature is no damage");
        assert_eq!(copy.wait(&done).await.unwrap(), runtime.wait(&done).await.unwrap());
        assert_eq!(copy.events(&done, 0, 10).await.unwrap().bytes, b"{}\n");
    }
    let original = runtime.inspect(&busy).await.unwrap();
    assert_eq!(original.state, gastown_core::runtime::SessionState::Running, "nobody killed it");
    runtime.stop(&busy, Duration::ZERO).await.unwrap();
}

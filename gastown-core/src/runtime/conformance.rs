//! The public test suite of [`ContainerRuntime`]: what every runtime must do, one case a function.
//!
//! [`runtime_conformance!`](crate::runtime_conformance) makes one named test of each case, and [`CASES`] lists them.
//! A case that needs what a runtime says it cannot do passes at once. Every case panics where the runtime fails it.

#![allow(clippy::disallowed_methods, reason = "a kit guards against hangs of real processes")]
#![allow(clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    CAPABILITY_FILE_VAR, ContainerRuntime, EVENTS_FILE_VAR, ExitOutcome, ExitRecord, Script, SecretText, SessionSpec,
    SessionState,
};
use crate::model::{ErrorKind, OutputStream, SessionId};

/// Only guards against hanging for ever.
const HANG: Duration = Duration::from_secs(60);
const LONG_GRACE: Duration = Duration::from_secs(30);

/// What an agent of the suite does.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Act {
    /// Ends with this code.
    Exits(i32),
    /// Ends by this signal, sent by itself.
    Dies(i32),
    /// Prints the text and a line end, then ends with 0.
    Says(String),
    /// Writes the text to the file for its structured events, then ends with 0.
    Tells(String),
    /// Prints that many lines of 50 bytes, each `y` and a line end at its end, then ends with 0.
    PrintsLines(u64),
    /// Prints `ready` and then runs until it is stopped.
    Hangs,
    /// As [`Act::Hangs`]; on SIGTERM it prints `bye` and ends with 0.
    EndsOnTerm,
    /// As [`Act::Hangs`], and SIGTERM does not move it.
    IgnoresTerm,
    /// Leaves a child that runs on, its id in `child.pid` in the workspace, and ends with 0.
    LeavesChild,
    /// As [`Act::LeavesChild`], with the child in a session of its own and its parent gone.
    LeavesDaemon,
    /// As [`Act::LeavesDaemon`], prints `ready`, and then runs until it is stopped.
    HangsBesideDaemon,
    /// Runs this text in a shell; only for runtimes of real processes.
    Shell(String),
}

impl Act {
    /// The act as a POSIX shell command.
    pub fn shell(&self) -> Vec<String> {
        const DAEMON: &str = "(setsid sleep 1000 & echo $! > child.pid)";
        let text = match self {
            Self::Exits(code) => format!("exit {code}"),
            Self::Dies(signal) => format!("kill -{signal} $$"),
            Self::Says(text) => return ["/bin/echo", text].map(str::to_owned).into(),
            Self::Tells(text) => {
                let tell = format!("printf %s \"$1\" >> \"${EVENTS_FILE_VAR}\"");
                return ["/bin/sh", "-c", &tell, "sh", text].map(str::to_owned).into();
            }
            Self::PrintsLines(count) => format!("yes {} | head -n {count}", "y".repeat(49)),
            Self::Hangs => "echo ready; exec sleep 1000".to_owned(),
            Self::EndsOnTerm => {
                "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done".to_owned()
            }
            Self::IgnoresTerm => "trap '' TERM; echo ready; while :; do sleep 1000; done".to_owned(),
            Self::LeavesChild => "sleep 1000 & echo $! > child.pid; exit 0".to_owned(),
            Self::LeavesDaemon => format!("{DAEMON}; exit 0"),
            Self::HangsBesideDaemon => format!("{DAEMON}; echo ready; exec sleep 1000"),
            Self::Shell(text) => text.clone(),
        };
        vec!["/bin/sh".to_owned(), "-c".to_owned(), text]
    }
}

impl Act {
    /// The act as a command of [`ScriptedRuntime`](super::ScriptedRuntime)s that follow [`Act::script`].
    pub fn words(&self) -> Vec<String> {
        vec!["act".to_owned(), serde_json::to_string(self).expect("an act is plain data")]
    }

    /// What a spec of [`Act::words`] does; any other program is one that does not exist.
    pub fn script(spec: &SessionSpec) -> Script {
        let act = match spec.command.as_slice() {
            [program, act] if program == "act" => serde_json::from_str(act).ok(),
            _ => None,
        };
        match act {
            Some(act) => Script::of(&act),
            None => Script::ends(ExitOutcome::StartFailed { reason: format!("{} is not an act", spec.command[0]) }),
        }
    }
}

/// What a case works with: a fresh runtime, an empty workspace, and how this runtime's agents are told what to do.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The runtime under test.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// An empty folder.
    pub workspace: PathBuf,
    /// Turns an act into a command.
    pub command: fn(&Act) -> Vec<String>,
}

impl Bench {
    /// A bench whose agents are shell commands.
    pub fn new(runtime: impl ContainerRuntime, workspace: impl Into<PathBuf>) -> Self {
        Self { runtime: Arc::new(runtime), workspace: workspace.into(), command: Act::shell }
    }

    /// Says how acts become commands.
    #[must_use]
    pub fn commands(mut self, command: fn(&Act) -> Vec<String>) -> Self {
        self.command = command;
        self
    }

    /// A session that does this, with the usual `PATH`.
    pub fn spec(&self, name: &str, act: &Act) -> SessionSpec {
        let mut spec = SessionSpec::new(id(name), (self.command)(act), &self.workspace);
        spec.env.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        spec
    }

    async fn start(&self, spec: &SessionSpec) -> super::SessionStatus {
        guard(self.runtime.start(spec)).await
    }

    async fn wait(&self, session: &SessionId) -> ExitRecord {
        guard(self.runtime.wait(session)).await
    }

    async fn run(&self, spec: &SessionSpec) -> ExitRecord {
        self.start(spec).await;
        let record = self.wait(&spec.session).await;
        assert_eq!(record.session, spec.session);
        assert!(record.ended_at >= record.started_at);
        record
    }

    async fn run_act(&self, act: Act) -> ExitOutcome {
        self.run(&self.spec("s-1", &act)).await.outcome
    }

    async fn printed(&self, session: &SessionId) -> String {
        let mut bytes = Vec::new();
        loop {
            let chunk = guard(self.runtime.output(session, bytes.len() as u64, usize::MAX)).await;
            if chunk.bytes.is_empty() {
                return String::from_utf8(bytes).expect("the agents of the suite print text");
            }
            bytes.extend(chunk.bytes);
        }
    }

    /// Waits until the agent has printed the text.
    pub async fn until_printed(&self, session: &SessionId, text: &str) {
        until("the agent prints", async || self.printed(session).await.contains(text)).await;
    }

    async fn start_until_ready(&self, act: Act) -> SessionId {
        let spec = self.spec("s-1", &act);
        self.start(&spec).await;
        self.until_printed(&spec.session, "ready").await;
        spec.session
    }

    async fn stop(&self, session: &SessionId, grace: Duration) {
        guard(self.runtime.stop(session, grace)).await;
    }

    fn child(&self) -> u32 {
        let text = fs::read_to_string(self.workspace.join("child.pid")).expect("the agent wrote it");
        text.trim().parse().expect("a process id")
    }
}

/// Whether the process runs; one that waits to be collected does not.
pub fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X'])
}

/// Waits until it holds; for what no event tells, such as the end of a process that is not ours.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < HANG, "{what}: not within {HANG:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn guard<T, E: Debug>(work: impl Future<Output = Result<T, E>>) -> T {
    tokio::time::timeout(HANG, work).await.expect("it does not hang").expect("it works")
}

fn id(name: &str) -> SessionId {
    SessionId::new(name).expect("the suite's names are ids")
}

macro_rules! cases {
    ($($(#[$meta:meta])* async fn $name:ident($bench:ident: &Bench) $body:block)*) => {
        $($(#[$meta])* pub async fn $name($bench: &Bench) $body)*

        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($name)),*];

        /// Runs every case, each on a bench of its own.
        pub async fn check_all(mut bench: impl FnMut(&str) -> Bench) {
            $($name(&bench(stringify!($name))).await;)*
        }

        /// Makes one test of each case: `runtime_conformance!(module, || (guard, bench))`.
        ///
        /// What the function answers beside the bench is kept until the case is over.
        #[macro_export]
        macro_rules! runtime_conformance {
            ($module:ident, $make:expr) => {
                mod $module {
                    #[allow(unused_imports)]
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $name() {
                        let make = $make;
                        let (_kept, made) = make();
                        $crate::runtime::conformance::$name(&made).await;
                    })*
                }
            };
        }
    };
}

cases! {
    /// An exit code of zero is recorded.
    async fn an_exit_code_of_zero_is_recorded(bench: &Bench) {
        assert_eq!(bench.run_act(Act::Exits(0)).await, ExitOutcome::Exited { code: 0 });
    }

    /// Another exit code is recorded.
    async fn another_exit_code_is_recorded(bench: &Bench) {
        assert_eq!(bench.run_act(Act::Exits(3)).await, ExitOutcome::Exited { code: 3 });
    }

    /// The signal that ended an agent is recorded.
    async fn a_signal_is_recorded(bench: &Bench) {
        assert_eq!(bench.run_act(Act::Dies(9)).await, ExitOutcome::Signalled { signal: 9 });
    }

    /// Output is kept and read from any offset.
    async fn output_is_read_from_any_offset(bench: &Bench) {
        let spec = bench.spec("s-1", &Act::Says("hello town".to_owned()));
        let record = bench.run(&spec).await;
        assert_eq!((record.output_bytes, record.output_dropped_bytes), (11, 0));
        assert_eq!(bench.printed(&spec.session).await, "hello town\n");
        let part = guard(bench.runtime.output(&spec.session, 6, 4)).await;
        assert_eq!((part.offset, part.bytes.as_slice()), (6, b"town".as_slice()));
        assert!(guard(bench.runtime.output(&spec.session, 11, 100)).await.bytes.is_empty());
    }

    /// An agent that prints 50 MB is not held up, and what was dropped is counted.
    async fn fifty_megabytes_of_output_are_bounded_and_counted(bench: &Bench) {
        let mut spec = bench.spec("s-1", &Act::PrintsLines(1_000_000));
        spec.output_bytes_max = 8 << 20;
        let record = bench.run(&spec).await;
        assert_eq!(record.outcome, ExitOutcome::Exited { code: 0 });
        assert_eq!(record.output_bytes, 50_000_000);
        let kept = record.output_bytes - record.output_dropped_bytes;
        assert!((6 << 20..=8 << 20).contains(&kept), "{kept} bytes are kept");
        let mut seen = 0;
        let mut offset = 0;
        loop {
            let chunk = guard(bench.runtime.output(&spec.session, offset, 1 << 20)).await;
            if chunk.bytes.is_empty() {
                break;
            }
            seen += chunk.bytes.len() as u64;
            offset = chunk.next_offset();
        }
        assert_eq!((seen, offset), (kept, record.output_bytes), "the end is kept, the middle is not");
    }

    /// What was read once is read again, in pieces of any size, also after the end.
    async fn what_was_read_is_read_again(bench: &Bench) {
        let session = bench.start_until_ready(Act::EndsOnTerm).await;
        let read = async |offset, most| guard(bench.runtime.output(&session, offset, most)).await;
        let before = read(0, 100).await;
        assert_eq!(read(0, 100).await, before);
        bench.stop(&session, LONG_GRACE).await;
        bench.wait(&session).await;
        let mut bytes = Vec::new();
        for offset in 0..10 {
            let piece = read(offset, 1).await;
            assert_eq!(piece.offset, offset);
            bytes.extend(piece.bytes);
        }
        assert_eq!(bytes, b"ready\nbye\n");
        for offset in [10, 11, u64::MAX / 2] {
            assert!(read(offset, 100).await.bytes.is_empty(), "beyond the end there is nothing");
        }
    }

    /// Who follows a session wakes when it prints, and sees all of it by its end.
    async fn who_follows_is_woken_by_output(bench: &Bench) {
        let session = bench.start_until_ready(Act::EndsOnTerm).await;
        let follow = async {
            loop {
                let chunk = guard(bench.runtime.output(&session, 6, 100)).await;
                if !chunk.bytes.is_empty() {
                    return chunk.bytes;
                }
                guard(bench.runtime.grown(&session, OutputStream::Output, 6)).await;
            }
        };
        let gone_at_once = bench.runtime.grown(&session, OutputStream::Output, 6);
        assert!(futures_util::FutureExt::now_or_never(gone_at_once).is_none(), "there is nothing yet");
        let (seen, ()) = tokio::join!(follow, bench.stop(&session, LONG_GRACE));
        assert_eq!(seen, b"bye\n");
        // What is there already is not waited for.
        guard(bench.runtime.grown(&session, OutputStream::Output, 0)).await;
    }

    /// Structured events are kept beside the output, with offsets of their own, torn lines included.
    async fn events_are_kept_beside_the_output(bench: &Bench) {
        if bench.runtime.capabilities().keeps_events {
            let lines = "{\"kind\":\"began\"}\nno JSON\n{\"torn\"";
            let mut spec = bench.spec("s-1", &Act::Tells(lines.to_owned()));
            spec.events_bytes_max = 1 << 20;
            assert_eq!(bench.run(&spec).await.outcome, ExitOutcome::Exited { code: 0 });
            let all = guard(bench.runtime.events(&spec.session, 0, 1000)).await;
            assert_eq!((all.offset, all.bytes.as_slice()), (0, lines.as_bytes()));
            let part = guard(bench.runtime.events(&spec.session, 17, 8)).await;
            assert_eq!((part.offset, part.bytes.as_slice()), (17, &lines.as_bytes()[17..25]));
            assert!(guard(bench.runtime.events(&spec.session, 1000, 1)).await.bytes.is_empty());
            assert_eq!(bench.printed(&spec.session).await, "");
        }
    }

    /// What was forgotten is gone with its output, and tidying up afterwards harms nobody.
    async fn what_is_forgotten_is_gone(bench: &Bench) {
        for name in ["s-1", "s-2"] {
            bench.run(&bench.spec(name, &Act::Says(name.to_owned()))).await;
        }
        guard(bench.runtime.forget(&id("s-1"))).await;
        guard(bench.runtime.forget(&id("s-1"))).await;
        guard(bench.runtime.tidy()).await;
        let error = bench.runtime.output(&id("s-1"), 0, 1).await.expect_err("it is gone");
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "session_unknown"));
        assert_eq!(bench.printed(&id("s-2")).await, "s-2\n");
        let kept: Vec<_> = guard(bench.runtime.list()).await;
        assert_eq!((kept.len(), kept[0].kept_bytes, kept[0].output_dropped_bytes), (1, 4, 0));
    }

    /// An agent that never ends is stopped.
    async fn an_agent_that_never_ends_is_stopped(bench: &Bench) {
        let session = bench.start_until_ready(Act::Hangs).await;
        bench.stop(&session, LONG_GRACE).await;
        assert_eq!(bench.wait(&session).await.outcome, ExitOutcome::Stopped);
        bench.stop(&session, LONG_GRACE).await;
    }

    /// A stop asks before it kills, and the agent's last words are kept.
    async fn a_stop_asks_before_it_kills(bench: &Bench) {
        let session = bench.start_until_ready(Act::EndsOnTerm).await;
        bench.stop(&session, LONG_GRACE).await;
        assert_eq!(bench.wait(&session).await.outcome, ExitOutcome::Stopped);
        assert_eq!(bench.printed(&session).await, "ready\nbye\n");
    }

    /// An agent that never ends is over when its time is.
    async fn an_agent_that_never_ends_times_out(bench: &Bench) {
        let mut spec = bench.spec("s-1", &Act::Hangs);
        spec.timeout = Some(Duration::from_millis(100));
        assert_eq!(bench.run(&spec).await.outcome, ExitOutcome::TimedOut);
    }

    /// An agent that ignores SIGTERM is killed after the grace.
    async fn an_agent_that_ignores_sigterm_is_killed(bench: &Bench) {
        let session = bench.start_until_ready(Act::IgnoresTerm).await;
        bench.stop(&session, Duration::from_millis(100)).await;
        assert_eq!(bench.wait(&session).await.outcome, ExitOutcome::Stopped);
    }

    /// A second stop with a shorter grace wins.
    async fn a_second_stop_with_a_shorter_grace_wins(bench: &Bench) {
        let session = bench.start_until_ready(Act::IgnoresTerm).await;
        tokio::join!(bench.stop(&session, Duration::from_secs(3600)), bench.stop(&session, Duration::ZERO));
        assert_eq!(bench.wait(&session).await.outcome, ExitOutcome::Stopped);
    }

    /// A child that an agent leaves is killed, and the pipe it holds does not hold up the end.
    async fn a_child_that_is_left_is_killed(bench: &Bench) {
        if bench.runtime.capabilities().real_processes {
            assert_eq!(bench.run_act(Act::LeavesChild).await, ExitOutcome::Exited { code: 0 });
            until("the child is gone", async || !runs(bench.child())).await;
        }
    }

    /// A child that left the session and lost its parent is killed all the same.
    async fn a_daemon_that_is_left_is_killed(bench: &Bench) {
        if bench.runtime.capabilities().kills_tree {
            assert_eq!(bench.run_act(Act::LeavesDaemon).await, ExitOutcome::Exited { code: 0 });
            assert!(!runs(bench.child()), "it is gone when the session has ended");
        }
    }

    /// A stop ends what left the session too.
    async fn a_stop_reaches_a_daemon(bench: &Bench) {
        if bench.runtime.capabilities().kills_tree {
            let session = bench.start_until_ready(Act::HangsBesideDaemon).await;
            assert!(runs(bench.child()));
            bench.stop(&session, LONG_GRACE).await;
            assert!(!runs(bench.child()), "it is gone when the session is stopped");
        }
    }

    /// Twenty sessions run at the same time and each has its own end and output.
    async fn twenty_sessions_run_side_by_side(bench: &Bench) {
        let specs: Vec<_> = (0..20)
            .map(|n| bench.spec(&format!("s-{n:02}"), &if n % 2 == 0 { Act::Exits(n) } else { Act::Says(n.to_string()) }))
            .collect();
        for record in futures_util::future::join_all(specs.iter().map(|spec| bench.run(spec))).await {
            let n: i32 = record.session.as_str()[2..].parse().expect("a number");
            assert_eq!(record.outcome, ExitOutcome::Exited { code: if n % 2 == 0 { n } else { 0 } });
            let printed = if n % 2 == 0 { String::new() } else { format!("{n}\n") };
            assert_eq!(bench.printed(&record.session).await, printed);
        }
        let listed = guard(bench.runtime.list()).await;
        let names: Vec<_> = listed.iter().map(|status| status.session.clone()).collect();
        assert_eq!(names, specs.iter().map(|spec| spec.session.clone()).collect::<Vec<_>>(), "ordered by id");
        assert!(listed.iter().all(|status| matches!(status.state, SessionState::Exited(_))));
    }

    /// Of many starts of one session one starts it, also after its end.
    async fn a_session_is_started_once(bench: &Bench) {
        let spec = bench.spec("s-1", &Act::Says("once".to_owned()));
        futures_util::future::join_all((0..8).map(|_| bench.start(&spec))).await;
        let record = bench.wait(&spec.session).await;
        let again = bench.start(&spec).await;
        assert_eq!(again.state, SessionState::Exited(record));
        assert_eq!(bench.printed(&spec.session).await, "once\n");
    }

    /// A running session shows itself in inspect and list.
    async fn a_running_session_is_seen(bench: &Bench) {
        let session = bench.start_until_ready(Act::Hangs).await;
        let status = guard(bench.runtime.inspect(&session)).await;
        assert_eq!(status.state, SessionState::Running);
        assert!(status.started_at.is_some() && status.lease_at.is_some());
        assert!(status.output_bytes >= 6 && status.last_output_at.is_some());
        if bench.runtime.capabilities().real_processes {
            assert!(runs(status.pid.expect("a real process has an id")));
        }
        assert_eq!(guard(bench.runtime.list()).await, vec![status]);
        bench.stop(&session, LONG_GRACE).await;
    }

    /// Everyone who waits hears of the end, and one who went away before is not missed.
    async fn everyone_who_waits_hears_of_the_end(bench: &Bench) {
        let session = bench.start_until_ready(Act::Hangs).await;
        let early = tokio::time::timeout(Duration::from_millis(1), bench.runtime.wait(&session)).await;
        assert!(early.is_err(), "it still runs");
        let (a, b, ()) = tokio::join!(bench.wait(&session), bench.wait(&session), bench.stop(&session, LONG_GRACE));
        assert_eq!(a, b);
        assert_eq!(a, bench.wait(&session).await);
    }

    /// A session that nobody started is absent, lost to who waits, and stopped to who stops.
    async fn an_unknown_session_is_absent(bench: &Bench) {
        let session = id("nobody");
        assert_eq!(guard(bench.runtime.inspect(&session)).await.state, SessionState::Absent);
        assert_eq!(bench.wait(&session).await.outcome, ExitOutcome::Lost);
        bench.stop(&session, Duration::ZERO).await;
        guard(bench.runtime.forget(&session)).await;
        let error = bench.runtime.output(&session, 0, 1).await.expect_err("nothing was ever printed");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    /// An ended session is forgotten and may start again; a running one is not forgotten.
    async fn an_ended_session_is_forgotten(bench: &Bench) {
        let session = bench.start_until_ready(Act::Hangs).await;
        let error = bench.runtime.forget(&session).await.expect_err("it runs");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "session_running"));
        bench.stop(&session, LONG_GRACE).await;
        guard(bench.runtime.forget(&session)).await;
        assert_eq!(guard(bench.runtime.inspect(&session)).await.state, SessionState::Absent);
        assert!(guard(bench.runtime.list()).await.is_empty());
        assert_eq!(bench.run_act(Act::Exits(4)).await, ExitOutcome::Exited { code: 4 });
    }

    /// A program that is missing is an outcome with a reason.
    async fn a_missing_program_is_an_outcome(bench: &Bench) {
        for name in ["no-such-program", "./no-such-program", "/no/such/program"] {
            let mut spec = bench.spec("s-1", &Act::Exits(0));
            spec.command = vec![name.to_owned()];
            match bench.run(&spec).await.outcome {
                ExitOutcome::StartFailed { reason } => assert!(reason.contains("no-such-program") || reason.contains(name)),
                other => panic!("{name} {other}"),
            }
            guard(bench.runtime.forget(&spec.session)).await;
        }
    }

    /// A workspace that is missing is an outcome with a reason.
    async fn a_missing_workspace_is_an_outcome(bench: &Bench) {
        let mut spec = bench.spec("s-1", &Act::Exits(0));
        spec.workspace = bench.workspace.join("gone");
        match bench.run(&spec).await.outcome {
            ExitOutcome::StartFailed { reason } => assert!(reason.contains("workspace")),
            other => panic!("{other}"),
        }
    }

    /// A spec that cannot be is refused before anything is made.
    async fn an_impossible_spec_is_refused(bench: &Bench) {
        let good = bench.spec("s-1", &Act::Exits(0));
        let mut bad = vec![good.clone(), good.clone(), good.clone(), good];
        bad[0].command.clear();
        bad[1].command.push("\0".to_owned());
        bad[2].env.insert("A=B".to_owned(), String::new());
        bad[3].workspace = PathBuf::from("relative");
        for spec in bad {
            let error = bench.runtime.start(&spec).await.expect_err("it is impossible");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "session_spec_invalid"));
        }
        assert!(guard(bench.runtime.list()).await.is_empty());
    }

    /// An agent's environment is what its spec says, and nothing else.
    async fn an_agent_has_exactly_its_environment(bench: &Bench) {
        if bench.runtime.capabilities().real_processes {
            let mut spec = bench.spec("s-1", &Act::Exits(0));
            spec.command = vec!["/usr/bin/env".to_owned()];
            spec.env = BTreeMap::from([("A", "1"), ("SPACE", "a b=c")].map(|(k, v)| (k.to_owned(), v.to_owned())));
            bench.run(&spec).await;
            assert_eq!(bench.printed(&spec.session).await, "A=1\nSPACE=a b=c\n");
        }
    }

    /// An agent has the three standard descriptors, and nothing to read.
    async fn an_agent_has_three_descriptors(bench: &Bench) {
        if bench.runtime.capabilities().closes_descriptors {
            // The listing itself has one more, which is gone when its target is looked for.
            let text = "for fd in /proc/$$/fd/*; do readlink $fd; done; cat";
            let spec = bench.spec("s-1", &Act::Shell(text.to_owned()));
            bench.run(&spec).await;
            let printed = bench.printed(&spec.session).await;
            let fds: Vec<_> = printed.lines().collect();
            assert_eq!(fds.len(), 3, "{printed}");
            assert_eq!(fds[0], "/dev/null");
            assert!(fds[1].starts_with("pipe:") && fds[1] == fds[2], "{printed}");
        }
    }

    /// An agent starts in its workspace and leads a process group of its own.
    async fn an_agent_leads_its_group_in_its_workspace(bench: &Bench) {
        if bench.runtime.capabilities().real_processes {
            let spec = bench.spec("s-1", &Act::Shell("pwd -P; cut -d' ' -f1,5 /proc/$$/stat".to_owned()));
            bench.run(&spec).await;
            let printed = bench.printed(&spec.session).await;
            let lines: Vec<_> = printed.lines().collect();
            assert_eq!(Path::new(lines[0]), bench.workspace.canonicalize().expect("it is there"));
            let (pid, group) = lines[1].split_once(' ').expect("two numbers");
            assert_eq!(pid, group);
        }
    }

    /// The capability is in a private file and neither in the arguments nor in the environment.
    async fn the_capability_is_in_a_private_file(bench: &Bench) {
        if bench.runtime.capabilities().real_processes {
            let text = format!(
                "cat ${CAPABILITY_FILE_VAR}; stat -c ' %a' ${CAPABILITY_FILE_VAR}; echo ${CAPABILITY_FILE_VAR}; \
                 tr '\\0' '\\n' </proc/$$/environ; tr '\\0' '\\n' </proc/$$/cmdline"
            );
            let mut spec = bench.spec("s-1", &Act::Shell(text));
            spec.capability = Some(SecretText::new("open-sesame"));
            bench.run(&spec).await;
            let printed = bench.printed(&spec.session).await;
            assert!(printed.starts_with("open-sesame 600\n"), "{printed}");
            assert_eq!(printed.matches("open-sesame").count(), 1, "{printed}");
            let path = Path::new(printed.lines().nth(1).expect("the path of the file"));
            assert!(path.is_absolute() && !path.exists(), "the file ends with the session");
        }
    }
}

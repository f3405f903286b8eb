//! A flooding agent: what its supervisor takes in, beside `cat` into a file, and what commands of the town take beside it.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gastown_benches::{Contender, Goal, Options, Report, Turn, interleave};
use gastown_core::model::SessionId;
use gastown_core::runtime::{ContainerRuntime, ExitOutcome, ProcessOptions, ProcessRuntime, SessionSpec, Supervisor};
use gastown_core::{NewBead, Town};
use tokio::runtime::Runtime;

pub fn main() -> Result<(), String> {
    run(&Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?)
}

pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("output", options);
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
    let supervisor = Supervisor::program(env!("CARGO_BIN_EXE_bench-supervisor"));
    let runtime = ProcessRuntime::new(ProcessOptions::new(dir.path().join("sessions")).supervisor(supervisor));
    let runtime: Arc<dyn ContainerRuntime> = Arc::new(runtime.map_err(|error| error.chain())?);
    let megabytes = options.pick(512, 8);
    let name = format!("an agent prints {megabytes} MB and ends");
    if options.wants(&name) {
        report.case(&name, Goal::Rate, &floods(&tokio, &runtime, dir.path(), options.pick(7, 1), megabytes));
    }
    let name = "create, 1 caller, beside an agent that floods";
    if options.wants(name) {
        report.case(
            name,
            Goal::Time,
            &commands(&tokio, &runtime, dir.path(), options.pick(9, 1), options.pick(400, 5)),
        );
    }
    report.finish()
}

fn flood(megabytes: usize) -> [String; 3] {
    [
        "sh".to_owned(),
        "-c".to_owned(),
        format!("yes 0123456789012345678901234567890123456789 | head -c {megabytes}000000"),
    ]
}

fn spec(name: &str, command: impl IntoIterator<Item = String>, dir: &Path) -> SessionSpec {
    let mut spec = SessionSpec::new(SessionId::new(name).expect("an id"), command, dir);
    spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    spec
}

fn floods(
    tokio: &Runtime,
    runtime: &Arc<dyn ContainerRuntime>,
    dir: &Path,
    turns: usize,
    megabytes: usize,
) -> Vec<gastown_benches::Figures> {
    let supervised = |name: &'static str, bytes_max: u64| {
        move |turn: usize| {
            let mut spec = spec(&format!("{name}-{turn}"), flood(megabytes), dir);
            spec.output_bytes_max = bytes_max;
            let took = Turn::of(1, |_| {
                let record = tokio.block_on(async {
                    runtime.start(&spec).await.expect("it starts");
                    runtime.wait(&spec.session).await.expect("it ends")
                });
                assert_eq!(record.outcome, ExitOutcome::Exited { code: 0 });
                assert_eq!(record.output_bytes, megabytes as u64 * 1_000_000);
            });
            tokio.block_on(runtime.forget(&spec.session)).expect("it has ended");
            took
        }
    };
    let by_hand = |file: bool| {
        move |_: usize| {
            let path = dir.join("by-hand");
            let to = if file { "by-hand" } else { "/dev/null" };
            let took = Turn::of(1, |_| {
                let [shell, flag, text] = flood(megabytes);
                let text = format!("{text} | cat > {to}");
                let status = Command::new(shell).args([flag, text]).current_dir(dir).stdin(Stdio::null()).status();
                assert!(status.expect("a shell is there").success());
            });
            if file {
                std::fs::remove_file(path).expect("it was written");
            }
            took
        }
    };
    interleave(
        turns,
        vec![
            Contender::new("supervisor, 64 MiB kept", supervised("capped", 64 << 20)),
            Contender::new("supervisor, everything kept", supervised("whole", 1 << 40)),
            Contender::new("cat > file", by_hand(true)),
            Contender::new("cat > /dev/null", by_hand(false)),
        ],
    )
}

fn commands(
    tokio: &Runtime,
    runtime: &Arc<dyn ContainerRuntime>,
    dir: &Path,
    turns: usize,
    count: usize,
) -> Vec<gastown_benches::Figures> {
    let town = tokio.block_on(Town::builder(dir.join("town")).open()).expect("a town opens");
    let create = |n: usize| {
        tokio.block_on(town.operator().beads().create(NewBead::titled(format!("bead {n}")))).expect("it is created");
    };
    let beside = |name: &'static str, command: &'static [&'static str]| {
        let create = &create;
        move |turn: usize| {
            let spec = spec(&format!("{name}-{turn}"), command.iter().map(|word| (*word).to_owned()), dir);
            tokio.block_on(runtime.start(&spec)).expect("it starts");
            let took = Turn::of(count, create);
            tokio.block_on(runtime.stop(&spec.session, Duration::ZERO)).expect("it stops");
            tokio.block_on(runtime.forget(&spec.session)).expect("it has ended");
            took
        }
    };
    let figures = interleave(
        turns,
        vec![
            Contender::new(
                "beside an agent that floods",
                beside("flood", &["yes", "0123456789012345678901234567890123456789"]),
            ),
            Contender::new(
                "beside one that spins and prints nothing",
                beside("spin", &["sh", "-c", "while :; do :; done"]),
            ),
            Contender::new("beside one that sleeps", beside("sleep", &["sleep", "1000"])),
        ],
    );
    tokio.block_on(town.close()).expect("it closes");
    figures
}

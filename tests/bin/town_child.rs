//! A program of the tests' own: a supervisor that can be killed at a failpoint, and hosts that can be killed.

mod commands;
mod files;
mod scenario;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use gastown_core::failpoint;
use gastown_core::model::{RigName, SessionId};
use gastown_core::runtime::{self, ContainerRuntime, ProcessOptions, ProcessRuntime, SessionSpec, Supervisor};
use gastown_core::{Claim, ErrorKind, NewBead, Result, Town};
use gastown_tests::claimer;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == "--kill-at") {
        let name = args[2].to_str().expect("a failpoint's name");
        let (name, nth) = name.split_once(':').unwrap_or((name, "1"));
        failpoint::kill_at(name, nth.parse().expect("a number"));
        args.drain(1..3);
    }
    if args.get(1).is_some_and(|arg| arg == "--kill-one-of") {
        let rank = args[4] == "session" && take_rank(Path::new(&args[2])) == args[3].to_str().expect("a number");
        if rank {
            failpoint::kill_at("supervisor.before_exit_record", 1);
        }
        args.drain(1..4);
    }
    if let Some(code) = runtime::session_main(args.clone()) {
        return code;
    }
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some("host") => host(&args[2..]),
        Some("run") => in_tokio(scenario::run(&args[2..])),
        Some("engine") => in_tokio(scenario::engine(&args[2..])),
        Some("claim") => in_tokio(claim(&args[2..])),
        Some("serve") => in_tokio(serve(Path::new(&args[2]))),
        Some("import") => in_tokio(import(&args[2..])),
        Some("drain") => in_tokio(drain(&args[2..])),
        Some("work") => in_tokio(commands::work(&args[2..])),
        Some("script") => in_tokio(commands::script(&args[2..])),
        Some("keep") => in_tokio(files::keep_files(&args[2..])),
        Some("print") => in_tokio(files::print(&args[2..])),
        Some("claims") => in_tokio(commands::claims(&args[2..])),
        Some("sync") => in_tokio(sync(Path::new(&args[2]), Path::new(&args[3]))),
        Some("create") => in_tokio(create(Path::new(&args[2]), args[3].to_str().expect("UTF-8"))),
        _ => ExitCode::FAILURE,
    }
}

/// Says the how manyth supervisor this is that counts in the folder.
fn take_rank(folder: &Path) -> String {
    fs::create_dir_all(folder).expect("a folder of the test");
    (1..1_000)
        .map(|rank: u32| rank.to_string())
        .find(|rank| fs::File::create_new(folder.join(rank)).is_ok())
        .expect("fewer supervisors than that")
}

fn in_tokio(job: impl Future<Output = Result<()>>) -> ExitCode {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    match tokio.block_on(job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// `create <town> <title>`: slings a bead of this title in the rig `harbour`, in a town whose engine runs elsewhere.
async fn create(town: &Path, title: &str) -> Result<()> {
    let town = Town::builder(town).from_env().open().await?;
    let beads = town.operator().beads();
    let bead = beads.create(NewBead::titled(title).in_rig(RigName::new("harbour")?)).await?;
    beads.sling(bead.id).await?;
    town.close().await
}

/// `sync <town> <folder>`: brings both together.
async fn sync(town: &Path, folder: &Path) -> Result<()> {
    let town = Town::builder(town).open().await?;
    town.operator().beads().sync(folder).await?;
    town.close().await
}

/// `claim <dir> <name> <beads> --store URL`: makes so many beads, then claims what is ready until nothing is, and prints
/// what it made and what it claimed.
async fn claim(args: &[OsString]) -> Result<()> {
    let text = |n: usize| args[n].to_str().expect("UTF-8");
    let town = Town::builder(Path::new(&args[0])).options(scenario::store_at(args))?.open().await?;
    let beads = town.operator().beads();
    for n in 0..text(2).parse().expect("a number") {
        let bead = beads.create(NewBead::titled(format!("{} {n}", text(1)))).await?;
        println!("made {}", bead.id);
    }
    loop {
        match beads.claim(Claim::next(text(1))).await {
            Ok(bead) => println!("claimed {}", bead.id),
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    town.close().await
}

/// `import <town> <file>`: takes the file in, and prints how many beads are new and the most memory that was held.
async fn import(args: &[OsString]) -> Result<()> {
    let town = Town::builder(Path::new(&args[0])).open().await?;
    let report = town.operator().beads().import_from(Path::new(&args[1])).await?;
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    println!("{}", serde_json::json!({ "created": report.created, "peak_kib": peak.expect("Linux tells it") }));
    town.close().await
}

/// `drain <town> <name> <lease> <seed> [--store URL]`: claims until every bead is closed, and prints what it was answered.
async fn drain(args: &[OsString]) -> Result<()> {
    let text = |n: usize| args[n].to_str().expect("UTF-8");
    let number = |n: usize| text(n).parse::<u64>().expect("a number");
    let town = Town::builder(Path::new(&args[0])).options(scenario::store_at(args))?.open().await?;
    claimer::drain(&town, text(1), number(2), number(3), |answer| println!("{answer}")).await?;
    town.close().await
}

/// `host <dir> <session> <workspace> <command>…`: starts the session, prints `started`, and stays.
fn host(args: &[OsString]) -> ExitCode {
    let text = |n: usize| args[n].to_str().expect("UTF-8").to_owned();
    let supervisor = Supervisor::program(std::env::current_exe().expect("Linux tells it"));
    let options = ProcessOptions::new(&args[0]).supervisor(supervisor);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    tokio.block_on(async {
        let runtime = ProcessRuntime::new(options).expect("the folder opens");
        let command: Vec<String> = (3..args.len()).map(text).collect();
        let mut spec = SessionSpec::new(SessionId::new(text(1)).expect("an id"), command, &args[2]);
        spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        let status = runtime.start(&spec).await.expect("it starts");
        println!("started {:?}", status.state);
        std::future::pending::<ExitCode>().await
    })
}

/// Serves a town until it is killed.
async fn serve(dir: &Path) -> Result<()> {
    let town = Town::builder(dir).open().await?;
    town.serve().await?;
    println!("serving");
    std::future::pending().await
}

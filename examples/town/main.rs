//! The main job, from an empty folder to commits on a real repository's target branch.
//!
//! It makes a bare origin from a repository, opens a town on SQLite, adds the rig, slings a convoy to polecats, follows
//! the journal until the convoy is home, and checks the result. Killed at any moment and started again with
//! `--resume DIR` it ends in the same state: what it does itself is either keyed, so that a repeat finds the first
//! answer, or made beside its place and renamed; all else is the library's.

mod arguments;
mod origin;
mod place;
mod progress;
mod report;
mod story;
mod tasks;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use gastown_core::git::{GitOptions, GitRunner};
use gastown_core::model::{AgentName, RigName};
use gastown_core::runtime::{Supervisor, session_main};
use gastown_core::{AddRig, All, Error, EventsSince, NewSettings, RegisterAgent, Result, SlingConvoy, Town};
use serde_json::json;

use arguments::Arguments;
use origin::Origin;
use place::{Place, io_fault, write_whole};
use progress::Progress;
use report::Outcome;
use story::Story;
use tasks::Planned;

/// The longest that making the origin of a large repository may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(900);
/// How long a run that failed waits for what is in flight.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// The exit code of a run that the user interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // Started by the library as the supervisor of a session: agents outlive a kill of the program that had them started.
    if let Some(code) = session_main(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("there are no threads: {error}")),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(code) => code,
        Err(error) => {
            let code = complain(&format!("{} ({})", error.chain(), error.code()));
            for (name, value) in error.facts() {
                eprintln!("  {name}: {value}");
            }
            code
        }
    }
}

fn complain(sentence: &str) -> ExitCode {
    eprintln!("town: {sentence}");
    ExitCode::FAILURE
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.json {
        require_parent(file)?;
    }
    let place = Place::take(arguments)?;
    let progress = Progress::new(arguments.quiet, place.plan.tasks);
    progress.say(&format!(
        "{} {}",
        if place.resumed { "going on in" } else { "everything is in" },
        place.dir.display()
    ));
    let settled = arguments.settled();
    if place.resumed && !settled.is_empty() {
        progress.say(&format!("{} of the first start holds", settled.join(", ")));
    }
    let mut options = GitOptions::from_env();
    options.timeout = GIT_TIMEOUT;
    options.env = origin::identity();
    let git = GitRunner::new(options).await?;
    let tasks = tasks::plan(place.plan.tasks);
    let mut run = Run { place, git, tasks, story: Story::default(), progress, town: None };
    let seconds = arguments.seconds(run.place.plan.tasks);
    let deadline = Duration::from_secs(seconds);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(deadline, run.work()) => outcome,
        signal = interrupted() => {
            signal?;
            return run.interrupt().await;
        }
    };
    let late = || Error::exhausted("run_timeout", format!("not home after {seconds} s"));
    match outcome.unwrap_or_else(|_| Err(late())) {
        Ok(origin) => run.finish(arguments, &origin).await,
        Err(error) => {
            run.give_up(arguments, &error).await?;
            Err(error)
        }
    }
}

/// One run and what is open for it.
struct Run {
    place: Place,
    git: GitRunner,
    tasks: Vec<Planned>,
    story: Story,
    progress: Progress,
    town: Option<Town>,
}

impl Run {
    /// Everything up to the convoy's landing.
    async fn work(&mut self) -> Result<Origin> {
        let origin = origin::make(&self.git, &self.place.plan, &self.place.dir).await?;
        for note in &origin.notes {
            self.progress.say(note);
        }
        let program = std::env::current_exe().map_err(io_fault(Path::new("/proc/self/exe")))?;
        let supervisor = Supervisor::program(program);
        let town = Town::builder(self.place.dir.join("town")).from_env().supervisor(supervisor).open().await?;
        self.town = Some(town.clone());
        let known = town.operator().events().since(EventsSince { since: 0, limit: Some(1) }).await?.head;
        prepare(&town, &self.place, &origin, &self.tasks).await?;
        town.start().await?;
        follow(&town, known, &mut self.story, &mut self.progress).await?;
        Ok(origin)
    }

    /// Checks the result and shows it.
    async fn finish(mut self, arguments: &Arguments, origin: &Origin) -> Result<ExitCode> {
        self.progress.end();
        let town = self.town.take().expect("a run that came home had a town");
        let checked = verify::verify(&self.git, origin, &self.place.plan, &self.tasks, &self.story, &town).await;
        town.close().await?;
        let findings = checked?;
        print!("{}", report::to_text(&self.story, &findings));
        let ok = findings.checks.iter().all(|check| check.ok);
        self.write_json(arguments, &Outcome::Home { origin, findings: &findings })?;
        if ok && self.place.temporary && !arguments.keep {
            self.place.remove()?;
        } else {
            self.progress.say(&format!("everything is kept in {}", self.place.dir.display()));
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Says where everything stands; agents are left at work for a later `--resume`.
    async fn give_up(mut self, arguments: &Arguments, error: &Error) -> Result<()> {
        self.progress.end();
        self.write_json(arguments, &Outcome::Astray { error })?;
        let Some(town) = self.town.take() else {
            // There is no origin, so there is nothing to go on with.
            return if self.place.temporary { self.place.remove() } else { Ok(()) };
        };
        eprint!("{}", report::state(&self.story));
        match town.operator().upkeep().health(All {}).await {
            Ok(health) => eprintln!("engine {:?}, effects ambiguous: {}", health.engine, health.effects_ambiguous),
            Err(error) => eprintln!("health is not known: {}", error.chain()),
        }
        // What hangs outside must not hang us as well; what is not recorded is found out later.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, town.close()).await;
        eprintln!(
            "everything is kept in {0}; agents at work go on; try again by --resume {0}",
            self.place.dir.display()
        );
        Ok(())
    }

    fn write_json(&self, arguments: &Arguments, outcome: &Outcome<'_>) -> Result<()> {
        let Some(file) = &arguments.json else { return Ok(()) };
        let json = report::to_json(&self.place, &self.tasks, &self.story, outcome);
        write_whole(file, &serde_json::to_vec_pretty(&json).expect("a report is JSON"))
    }

    /// Stops beginning things, records what is in flight, and leaves the agents at work; a second signal does not wait.
    async fn interrupt(mut self) -> Result<ExitCode> {
        self.progress.end();
        if let Some(town) = self.town.take() {
            tokio::select! {
                closed = town.close() => closed?,
                signal = interrupted() => signal?,
            }
        }
        let dir = self.place.dir.display();
        eprintln!("town: interrupted; agents at work go on, and so does this run by --resume {dir}");
        Ok(ExitCode::from(INTERRUPTED))
    }
}

/// Adds the rig and the agents and slings the convoy; each has a key, so that a repeat changes nothing.
async fn prepare(town: &Town, place: &Place, origin: &Origin, tasks: &[Planned]) -> Result<()> {
    let operator = town.operator();
    let rig = RigName::new("harbour")?;
    let settings = NewSettings::from([
        ("agent.command".to_owned(), json!(place.agent_command())),
        ("agent.environment".to_owned(), json!({ "DEMO_BRANCH": place.plan.branch })),
        ("gate.command".to_owned(), json!(place.gate_command())),
        ("session.timeout_ms".to_owned(), json!(place.plan.session_timeout_ms)),
        ("failures.backoff_ms".to_owned(), json!([200])),
    ]);
    let add = AddRig {
        target: Some(place.plan.branch.clone()),
        settings,
        ..AddRig::new(rig.clone(), origin.path.to_string_lossy())
    };
    operator.with_key("demo-rig").rigs().add(add).await?;
    for number in 1..=place.plan.agents {
        let register = RegisterAgent::polecat(AgentName::new(format!("toast{number}"))?, rig.clone());
        operator.with_key(format!("demo-agent-{number}")).agents().register(register).await?;
    }
    // A key is remembered for a week; a convoy for ever.
    if operator.convoys().list(All {}).await?.convoys.is_empty() {
        let convoy = SlingConvoy::new("Found a harbour", rig, tasks::to_sling(tasks));
        operator.with_key("demo-convoy").convoys().sling(convoy).await?;
    }
    Ok(())
}

/// Follows the journal until the convoy is home and everything is tidied up; what was `known` before is not shown again.
async fn follow(town: &Town, known: u64, story: &mut Story, progress: &mut Progress) -> Result<()> {
    let mut watch = town.operator().events().watch(0)?;
    while !story.is_over() {
        let event = watch.next().await?;
        let changed = story.hear(&event);
        if event.seq > known {
            progress.show(story, &changed);
        } else if event.seq == known {
            let all: Vec<usize> = (0..story.lines.len()).collect();
            progress.show(story, &all);
        }
        // What an earlier process saw may have been mended since.
        if event.seq >= known
            && let Some(trouble) = story.trouble()
        {
            return Err(Error::conflict("run_stuck", trouble));
        }
    }
    Ok(())
}

/// Waits for the user to ask for an end.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let fault = |source| Error::unavailable("signals_unavailable", "signals cannot be waited for").because(source);
    let mut end = signal(SignalKind::terminate()).map_err(fault)?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(fault),
        _ = end.recv() => Ok(()),
    }
}

fn require_parent(file: &Path) -> Result<()> {
    let file = std::path::absolute(file).map_err(io_fault(file))?;
    if file.is_dir() || !file.parent().is_some_and(Path::is_dir) {
        let sentence = format!("{} cannot be written", file.display());
        return Err(Error::invalid("json_file", sentence).with("path", file.display()));
    }
    Ok(())
}

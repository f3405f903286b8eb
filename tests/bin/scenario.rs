//! A convoy that meets what a convoy meets: a failed attempt, a conflict, a gate, and the death of its host.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use gastown_core::model::{AgentName, Event, RigName};
use gastown_core::runtime::Supervisor;
use gastown_core::town::EngineState;
use gastown_core::{
    AddRig, Clock as _, Convoy, ErrorKind, EventsSince, NewSettings, RegisterAgent, Result, SessionFilter, SlingConvoy,
    SystemClock, Task, Town, TownOptions,
};
use serde_json::{Value as Json, json};

/// Every task adds a file of its own. The mast fails once after its commit; the flag conflicts with the keel once.
const AGENT: &str = r#"
set -e
case "$GASTOWN_TITLE/$GASTOWN_REWORK" in
flag/) git reset -q --hard "$(git rev-list --max-parents=0 HEAD)" ;;
flag/conflict)
    git fetch -q origin
    git merge -q -X ours -m "bring the flag up to date" "origin/$GASTOWN_TARGET"
    exit 0 ;;
esac
case "$GASTOWN_TITLE" in keel|flag) echo "$GASTOWN_TITLE" > shared.txt ;; esac
echo "$GASTOWN_TITLE" > "$GASTOWN_TITLE.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
if [ "$GASTOWN_TITLE/$GASTOWN_FAILURES" = mast/0 ]; then exit 3; fi
"#;

/// `run <dir> <origin> [--supervisor-kill NTH] [--shout] [--store URL] [--wait]`: brings the convoy home, however often it has to begin
/// again, and prints how it ended as one line of JSON. With `--shout` it prints a line for each event first; with
/// `--wait` it says `waits` and takes the engine over once nobody else leads it.
pub(crate) async fn run(args: &[OsString]) -> Result<()> {
    let (dir, origin) = (Path::new(&args[0]), &args[1]);
    let flag = |name: &str| args.iter().position(|arg| arg == name);
    let exe = std::env::current_exe().expect("Linux tells it");
    let mut supervisor_args = Vec::new();
    if let Some(at) = flag("--supervisor-kill") {
        let count = dir.join("supervisors").to_str().expect("UTF-8").to_owned();
        supervisor_args = vec!["--kill-one-of".to_owned(), count, args[at + 1].to_str().expect("UTF-8").to_owned()];
    }
    let town = Town::builder(dir.join("town"))
        .from_env()
        .supervisor(Supervisor::Program { path: exe, args: supervisor_args })
        .options(store_at(args))?
        .open()
        .await?;
    let convoy = prepare(&town, origin.to_str().expect("UTF-8")).await?;
    let mut watch = town.operator().events().watch(0)?;
    if flag("--wait").is_some() {
        println!("waits");
        std::io::stdout().flush().expect("somebody listens");
        lead(&town).await?;
    } else {
        town.start().await?;
    }
    loop {
        let event = watch.next().await?;
        if flag("--shout").is_some() {
            println!("event {}", event.seq);
            std::io::stdout().flush().expect("somebody listens");
        }
        let health = town.operator().upkeep().health(gastown_core::All {}).await?;
        let at_rest = health.effects_planned + health.effects_issued + health.effects_ambiguous == 0;
        let state = town.operator().convoys().get(&convoy.id).await?.state;
        // Every event has its line, also where the work is quicker than this loop.
        if event.seq >= health.head && at_rest && matches!(state.as_str(), "landed" | "needs_attention") {
            break;
        }
    }
    let end = end_state(&town, &convoy).await?;
    town.close().await?;
    println!("{end}");
    Ok(())
}

/// What follows `--store` and `--host`, as options of a town.
pub(crate) fn store_at(args: &[OsString]) -> TownOptions {
    let behind = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.map(|at| args[at + 1].to_str().expect("UTF-8").to_owned())
    };
    TownOptions { store: behind("--store"), host: behind("--host"), ..TownOptions::default() }
}

/// Starts the engine once nobody else leads it: a leader that dies tells nobody.
async fn lead(town: &Town) -> Result<()> {
    loop {
        match town.start().await {
            Err(error) if error.code() == "engine_running_elsewhere" => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

/// What is there already stays.
async fn prepare(town: &Town, origin: &str) -> Result<Convoy> {
    let operator = town.operator();
    let rig = RigName::new("harbour")?;
    let settings = NewSettings::from([
        ("agent.command".to_owned(), json!(["sh", "-c", AGENT])),
        ("gate.command".to_owned(), json!(["test", "-f", "README.md"])),
        ("failures.backoff_ms".to_owned(), json!([10])),
        ("effects.backoff_ms".to_owned(), json!([10, 100, 500])),
    ]);
    unless_there(operator.rigs().add(AddRig { settings, ..AddRig::new(rig.clone(), origin) }).await)?;
    for name in ["nux", "slit", "toast"] {
        unless_there(operator.agents().register(RegisterAgent::polecat(AgentName::new(name)?, rig.clone())).await)?;
    }
    let tasks = vec![
        Task::new("keel", []),
        Task::new("mast", [0]),
        Task::new("sails", [0]),
        Task::new("flag", [0]),
        Task::new("launch", [1, 2, 3]),
    ];
    operator.with_key("the-ship").convoys().sling(SlingConvoy::new("ship", rig, tasks)).await
}

fn unless_there<T>(result: Result<T>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Conflict && error.code().ends_with("_exists") => Ok(()),
        other => other.map(drop),
    }
}

/// The end in words that every run must share, and beside them what may differ.
async fn end_state(town: &Town, convoy: &Convoy) -> Result<Json> {
    let operator = town.operator();
    let convoy = operator.convoys().get(&convoy.id).await?;
    let (mut tasks, mut exits) = (BTreeMap::new(), Vec::new());
    for id in &convoy.members {
        let bead = operator.beads().get(id).await?;
        for session in operator.sessions().list(SessionFilter { bead: Some(id.clone()), state: None }).await?.sessions {
            exits.push(json!([bead.title, session.state, session.exit, session.reason]));
        }
        let task = json!({
            "status": bead.status, "resolution": bead.resolution, "failures": bead.failures,
            "assignee": bead.assignee, "blockers": bead.blockers, "metadata": bead.metadata,
        });
        tasks.insert(bead.title, task);
    }
    let convoys = operator.convoys().list(gastown_core::All {}).await?.convoys.len();
    let mut agents = operator.agents().list(gastown_core::AgentFilter::default()).await?.agents;
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    let sent_back = count(town, |event| event.kind == "bead.sent_back").await?;
    // Others are those of git commands that met at one ref; they cost nothing.
    let lost_gates =
        count(town, |event| event.kind == "effect.retry" && event.data["reason"] == "the gate lost").await?;
    let replay = town.replay().await?;
    let health = operator.upkeep().health(gastown_core::All {}).await?;
    Ok(json!({
        "same": {
            "convoys": convoys, "state": convoy.state, "reason": convoy.reason, "tasks": tasks,
            "agents": agents.iter().map(|agent| json!([agent.name, agent.state, agent.hook])).collect::<Vec<_>>(),
            "sent_back": sent_back, "differences": replay.differences, "refused": health.effects_refused,
        },
        "landed_oid": convoy.landed_oid,
        "exits": exits,
        "lost_gates": lost_gates,
        "events": replay.events,
    }))
}

async fn count(town: &Town, fits: impl Fn(&Event) -> bool) -> Result<usize> {
    let (mut since, mut count) = (0, 0);
    loop {
        let page = town.operator().events().since(EventsSince { since, limit: Some(1_000) }).await?;
        let Some(last) = page.events.last() else { return Ok(count) };
        since = last.seq;
        count += page.events.iter().filter(|event| fits(event)).count();
    }
}

/// `engine <dir> --store URL --host NAME`: tries to lead, over and over while somebody else does, and says so each time;
/// then says when it leads and when it does no longer. It goes on until it is killed.
pub(crate) async fn engine(args: &[OsString]) -> Result<()> {
    let supervisor = Supervisor::program(std::env::current_exe().expect("Linux tells it"));
    let town =
        Town::builder(Path::new(&args[0])).from_env().supervisor(supervisor).options(store_at(args))?.open().await?;
    let mut watch = town.operator().events().watch(0)?;
    let led_at = loop {
        let at = SystemClock.now();
        match town.start().await {
            Ok(()) => break at,
            Err(error) if error.code() == "engine_running_elsewhere" => {
                shout(&json!({ "refused": at.to_string(), "until": error.fact("lease_until") }));
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    };
    shout(&json!({ "leads": led_at.to_string() }));
    loop {
        // That the engine ended, nobody announces.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), watch.next()).await;
        let health = town.operator().upkeep().health(gastown_core::All {}).await?;
        if let EngineState::Failed { reason } = health.engine {
            shout(&json!({ "ended": reason }));
            return std::future::pending().await;
        }
    }
}

fn shout(line: &Json) {
    println!("{line}");
    std::io::stdout().flush().expect("somebody listens");
}

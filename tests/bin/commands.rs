//! Commands that say what they try and what came of it, so that whoever kills the program can check its word.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use gastown_core::store::{Durability, SqliteOptions};
use gastown_core::{Error, ErrorKind, Result, Town};
use serde_json::{Value as Json, json};

/// A town whose word counts: what was answered survives.
async fn open(folder: &Path) -> Result<Town> {
    let mut options = SqliteOptions::default();
    options.durability = Durability::Full;
    Town::builder(folder).sqlite_options(options).open().await
}

/// Where everything is said as well, where that was asked for.
static ACKS: OnceLock<std::fs::File> = OnceLock::new();

/// Prints one line in one write.
fn say(line: &Json) {
    let mut text = line.to_string();
    text.push('\n');
    if let Some(mut acks) = ACKS.get() {
        acks.write_all(text.as_bytes()).expect("the test's file can be written");
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

/// Gives one command under its key, and says so before and after.
async fn give(town: &Town, key: &str, operation: &str, input: Json) -> Result<Json> {
    say(&json!({ "try": key, "operation": operation, "input": input }));
    let answer = town.operator().with_key(key).call(operation, input).await;
    match &answer {
        Ok(answer) => say(&json!({ "done": key, "answer": answer })),
        Err(error) => say(&refusal(key, error)),
    }
    answer
}

fn refusal(key: &str, error: &Error) -> Json {
    json!({ "failed": key, "kind": error.kind().as_str(), "code": error.code(), "why": error.chain() })
}

/// A bead whose title, text, label and metadata name the command that wrote them.
fn new_bead(key: &str, depends_on: &[String]) -> Json {
    json!({
        "title": key, "description": format!("about {key}"), "labels": [key],
        "metadata": { "key": key }, "depends_on": depends_on,
    })
}

/// All of these at once, to another command's name.
fn update(id: &str, before: &str, key: &str) -> Json {
    let about = format!("about {key}");
    json!({ "id": id, "title": key, "description": about, "add_labels": [key], "remove_labels": [before] })
}

/// Small and repeatable: the next number of a sequence, below `bound`.
fn draw(seed: &mut u64, bound: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from((*seed >> 33) % bound as u64).expect("it is below the bound")
}

/// `work <town> <seed> <callers> <commands> [acks]`: so many callers give so many commands each, then the town is
/// closed. What is said goes to the file `acks` as well.
pub(crate) async fn work(args: &[OsString]) -> Result<()> {
    let number = |at: usize| args[at].to_str().and_then(|text| text.parse().ok()).expect("a number");
    let (seed, callers, commands): (u64, u64, u64) = (number(1), number(2), number(3));
    if let Some(acks) = args.get(4) {
        let acks = std::fs::File::create(acks).expect("the test's folder");
        ACKS.set(acks).expect("it is set once");
    }
    let town = open(Path::new(&args[0])).await?;
    say(&json!({ "open": seed }));
    let known: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let (town, known) = (town.clone(), Arc::clone(&known));
        tasks.push(tokio::spawn(async move { call(&town, &known, seed, caller, commands).await }));
    }
    for task in tasks {
        task.await.expect("no caller panics");
    }
    town.close().await?;
    say(&json!({ "closed": seed }));
    Ok(())
}

/// One caller. What it may not do is refused with a reason; that is part of the exercise.
async fn call(town: &Town, known: &Mutex<Vec<String>>, seed: u64, caller: u64, commands: u64) {
    let mut random = seed.wrapping_mul(1_000_003).wrapping_add(caller);
    // The beads of this caller, with the command that wrote each last.
    let mut own: Vec<(String, String)> = Vec::new();
    for n in 0..commands {
        let key = format!("s{seed}-c{caller}-n{n}");
        let other = {
            let known = known.lock().expect("no panic while it is held");
            (!known.is_empty()).then(|| known[draw(&mut random, known.len())].clone())
        };
        let dice = draw(&mut random, 14);
        let mine = (!own.is_empty()).then(|| draw(&mut random, own.len()));
        let id = mine.map(|at| own[at].0.clone());
        // Some answers are errors; `give` has said so.
        let _ = match (dice, id, other) {
            (4..=6, Some(id), _) => {
                let at = mine.expect("it has an id");
                let answer = give(town, &key, "beads.update", update(&id, &own[at].1, &key)).await;
                if answer.is_ok() {
                    own[at].1 = key;
                }
                answer
            }
            (7..=8, Some(id), Some(on)) => give(town, &key, "beads.link", json!({ "bead": id, "on_bead": on })).await,
            (9, Some(id), Some(on)) => give(town, &key, "beads.unlink", json!({ "bead": id, "on_bead": on })).await,
            (10, ..) => give(town, &key, "beads.claim", json!({ "by": format!("caller {caller}") })).await,
            (11, Some(id), _) => give(town, &key, "beads.release", json!({ "id": id })).await,
            (12..=13, Some(id), _) => give(town, &key, "beads.close", json!({ "id": id })).await,
            (_, _, on) => {
                let answer = give(town, &key, "beads.create", new_bead(&key, on.as_slice())).await;
                if let Some(id) = answer.as_ref().ok().and_then(|bead| bead["id"].as_str()) {
                    known.lock().expect("no panic while it is held").push(id.to_owned());
                    own.push((id.to_owned(), key));
                }
                answer
            }
        };
    }
}

/// `script <town>`: commands of all sorts, one after another and a few at once, a checkpoint, another opening; then,
/// with the disk mended, whatever failed once more, which must succeed without opening the town anew.
pub(crate) async fn script(args: &[OsString]) -> Result<()> {
    let folder = Path::new(&args[0]);
    let mut failed: Vec<(String, &'static str, Json)> = Vec::new();
    let mut made: Vec<Option<String>> = Vec::new();
    let mut last = None;
    for round in 0..2 {
        let town = match open(folder).await {
            Ok(town) => town,
            Err(error) => {
                say(&refusal("open", &error));
                continue;
            }
        };
        say(&json!({ "open": round }));
        let key = |n: usize| format!("r{round}-n{n}");
        let mut steps: Vec<(&'static str, Json)> = Vec::new();
        for n in 0..3 {
            let on: Vec<String> = made.last().cloned().flatten().into_iter().collect();
            let input = new_bead(&key(n), &on);
            let answer = attempt(&town, &mut failed, key(n), "beads.create", input).await;
            made.push(answer.and_then(|bead| Some(bead["id"].as_str()?.to_owned())));
        }
        // Commands about beads that could not be made are left out.
        let bead = |at: usize| made[made.len() - 3 + at].clone();
        if let Some(first) = bead(0) {
            steps.push(("beads.update", update(&first, &key(0), &key(3))));
            steps.push(("beads.claim", json!({ "id": first, "by": "tess" })));
            if let Some(third) = bead(2) {
                steps.push(("beads.link", json!({ "bead": third, "on_bead": first, "kind": "related" })));
            }
            steps.push(("beads.close", json!({ "id": first })));
        }
        if let (Some(second), Some(third)) = (bead(1), bead(2)) {
            steps.push(("beads.unlink", json!({ "bead": third, "on_bead": second })));
        }
        for (n, (operation, input)) in (3..).zip(steps) {
            attempt(&town, &mut failed, key(n), operation, input).await;
        }
        let others: Vec<_> = (10..14)
            .map(|n| {
                let (town, key) = (town.clone(), key(n));
                tokio::spawn(async move {
                    let input = new_bead(&key, &[]);
                    let mut failed = Vec::new();
                    attempt(&town, &mut failed, key, "beads.create", input).await;
                    failed
                })
            })
            .collect();
        for other in others {
            failed.extend(other.await.expect("no caller panics"));
        }
        checkpoint(folder);
        let page = town.operator().call("beads.list", json!({})).await;
        if let Err(error) = page {
            say(&refusal("list", &error));
        }
        attempt(&town, &mut failed, key(14), "beads.create", new_bead(&key(14), &[])).await;
        if round == 0 {
            town.close().await?;
        } else {
            last = Some(town);
        }
    }
    // It is not there: removing it ends a fault that would last.
    let _ = std::fs::remove_file(gastown_preload::HEAL);
    say(&json!({ "healed": true }));
    let town = match last {
        Some(town) => town,
        None => open(folder).await?,
    };
    for (key, operation, input) in failed {
        match give(&town, &key, operation, input).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            // What came after it may have left nothing to claim.
            _ => {}
        }
    }
    give(&town, "last", "beads.create", new_bead("last", &[])).await?;
    town.close().await?;
    say(&json!({ "closed": true }));
    Ok(())
}

/// Gives a command, and keeps what was refused by the disk.
async fn attempt(
    town: &Town,
    failed: &mut Vec<(String, &'static str, Json)>,
    key: String,
    operation: &'static str,
    input: Json,
) -> Option<Json> {
    match give(town, &key, operation, input.clone()).await {
        Ok(answer) => return Some(answer),
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        Err(_) => failed.push((key, operation, input)),
    }
    None
}

/// Moves the log's pages into the file, as a busy town does now and then; whether it can is not the question here.
fn checkpoint(folder: &Path) {
    let done = rusqlite::Connection::open(folder.join("town.db"))
        .and_then(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
    say(&json!({ "checkpoint": done.map_err(|error| error.to_string()).ok() }));
}

/// `claims <town> <name>`: claims from the pool until it is empty, and with each claim adds one to a number that all
/// share, by reading it and writing it where nobody else has meanwhile.
pub(crate) async fn claims(args: &[OsString]) -> Result<()> {
    let name = args[1].to_str().expect("UTF-8");
    let town = open(Path::new(&args[0])).await?;
    let operator = town.operator();
    let shared = args[2].to_str().expect("UTF-8");
    say(&json!({ "open": name }));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a word to begin");
    for n in 0.. {
        let claimed = match give(&town, &format!("{name}-{n}"), "beads.claim", json!({ "by": name })).await {
            Ok(claimed) => claimed,
            Err(error) if error.code() == "nothing_ready" => break,
            Err(error) => return Err(error),
        };
        loop {
            let bead = operator.call("beads.get", json!({ "id": shared })).await?;
            let count = bead["metadata"]["count"].as_i64().expect("a number");
            let patch = json!({
                "id": shared, "expected_version": bead["version"],
                "metadata": { "count": count + 1, "last": claimed["id"] },
            });
            match operator.call("beads.update", patch).await {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }
    town.close().await
}

//! Durable changes: the town's commands beside the physical limit; then reads beside a busy writer, and opening.
//!
//! The limit is measured in the same run: how fast the disk flushes, a bare loop of commits, a bare writer that
//! groups, one bulk transaction, and a connection for each caller. They write the same rows and do nothing else.
//!
//! On Postgres as well, where `GASTOWN_BENCH_PG` names a database or `--postgres` asks for a private server.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gastown_benches::bare::{Bare, Group, Script, Verb};
use gastown_benches::{
    Contender, Figures, Goal, Options, Report, Threads, Turn, Wanted, bare_pg, drive, flushes, interleave, opening,
    reading, slow_flush,
};
use gastown_core::model::BeadId;
use gastown_core::store::postgres::testing::TestServer;
use gastown_core::store::{Durability, MemoryBackend, PostgresBackend, SqliteOptions};
use gastown_core::{Claim, NewBead, Town};
use tokio::runtime::Runtime;

/// Names the URL of a database for the figures of Postgres.
const DATABASE: &str = "GASTOWN_BENCH_PG";

/// The flush of the slow disk.
const SLOW_FLUSH_US: u32 = 1_000;

pub fn main() -> Result<(), String> {
    let options = Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?;
    if let Some(town) = std::env::var_os(opening::TOWN) {
        println!("{}", opening::once(&runtime()?, Path::new(&town)));
        return Ok(());
    }
    if options.is_inner { slow_disk(&options) } else { run(&options) }
}

pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("store", options);
    let tokio = runtime()?;
    if options.wants("flush") {
        let turn = flushes(&options.dir, options.pick(2_000, 4));
        report.case("the disk", Goal::Time, &[Figures { name: "write and flush of 4 KiB", turns: vec![turn] }]);
    }
    let mut script = None;
    let named = std::env::var(DATABASE).ok();
    let server = (named.is_none() && options.has_server).then(|| TestServer::durable(&options.dir));
    let database = named.or_else(|| server.as_ref().map(|server| format!("{}&sslmode=disable", server.url())));
    for place in Place::there(database.as_deref()) {
        for callers in [1, 32, 64, 256] {
            let case = Case::new(options, place, callers, false);
            if options.wants(&case.name) {
                case.compare(options, &tokio, &mut script, &mut report);
            }
        }
    }
    drop(script);
    if database.is_none() {
        println!(
            "\n{DATABASE} names no database of Postgres and --postgres was not given, so there are no figures of one"
        );
    }
    let slow = Case::new(options, Place::Full, 64, true).name;
    if options.wants(slow.split(' ').next_back().unwrap_or_default()) || options.wants(&slow) {
        run_slow(options, &mut report)?;
    }
    if options.wants("reading") {
        reading::compare(options, &tokio, &mut report);
    }
    if options.wants("opening") {
        opening::measure(options, &tokio, &mut report)?;
    }
    report.finish()
}

fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().map_err(|error| error.to_string())
}

/// Runs this program again, on a disk that flushes slowly.
fn run_slow(options: &Options, report: &mut Report) -> Result<(), String> {
    let folder = tempfile::tempdir_in(&options.dir).map_err(|error| error.to_string())?;
    let figures = folder.path().join("figures.json");
    let is_bench = std::env::current_exe()
        .is_ok_and(|exe| exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store")));
    let Some(mut command) = slow_flush(&options.dir, SLOW_FLUSH_US).filter(|_| is_bench) else {
        println!("\nno slow disk: this is not the benchmark's own program");
        return Ok(());
    };
    command.arg("--inner").arg("--json").arg(&figures);
    command.args(options.quick.then_some("--quick")).args(options.is_alone.then_some("--alone"));
    let status = command.args(&options.filter).status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the run on a slow disk ended with {status}"));
    }
    let text = std::fs::read_to_string(figures).map_err(|error| error.to_string())?;
    report.join(serde_json::from_str(&text).map_err(|error| error.to_string())?);
    Ok(())
}

/// What is run in a process of its own, on a disk that flushes slowly.
fn slow_disk(options: &Options) -> Result<(), String> {
    let mut report = Report::new("store", options);
    let tokio = runtime()?;
    let turn = flushes(&options.dir, options.pick(200, 2));
    report.case("the slow disk", Goal::Time, &[Figures { name: "write and flush of 4 KiB", turns: vec![turn] }]);
    let mut script = None;
    for callers in [1, 64, 256] {
        let case = Case::new(options, Place::Full, callers, true);
        if options.wants(&case.name) {
            case.compare(options, &tokio, &mut script, &mut report);
        }
    }
    report.finish()
}

/// Where the town is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'u> {
    Full,
    Normal,
    Memory,
    /// A new schema of the database at this URL.
    Postgres(&'u str),
}

impl<'u> Place<'u> {
    const ALL: [Self; 3] = [Self::Full, Self::Normal, Self::Memory];

    /// Those that can be had here.
    fn there(database: Option<&'u str>) -> Vec<Self> {
        Self::ALL.into_iter().chain(database.map(Self::Postgres)).collect()
    }

    /// What SQLite calls its mode; none where it is not SQLite.
    const fn synchronous(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("FULL"),
            Self::Normal => Some("NORMAL"),
            Self::Memory | Self::Postgres(_) => None,
        }
    }

    async fn open(self, dir: &Path) -> Town {
        let mut sqlite = SqliteOptions::default();
        let builder = Town::builder(dir);
        let builder = match self {
            Self::Full => builder.sqlite_options(sqlite),
            Self::Normal => {
                sqlite.durability = Durability::Normal;
                builder.sqlite_options(sqlite)
            }
            Self::Memory => builder.backend(Arc::new(MemoryBackend::new())),
            Self::Postgres(url) => {
                let sign = if url.contains('?') { '&' } else { '?' };
                let url = format!("{url}{sign}schema={}", schema(dir));
                builder.backend(Arc::new(PostgresBackend::new(&url).expect("it is a URL")))
            }
        };
        builder.open().await.expect("a town opens")
    }
}

/// The schema of a town in this folder.
fn schema(dir: &Path) -> String {
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}{}", dir.parent().map(last).unwrap_or_default(), last(dir));
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("bench_{}", name.to_lowercase())
}

struct Case<'u> {
    name: String,
    place: Place<'u>,
    callers: usize,
    turns: usize,
    /// Commands of a turn.
    count: usize,
    /// Commands of a turn for those that are slow.
    few: usize,
}

impl<'u> Case<'u> {
    fn new(options: &Options, place: Place<'u>, callers: usize, is_slow: bool) -> Self {
        let mode = match place {
            Place::Full => "sqlite full",
            Place::Normal => "sqlite normal",
            Place::Memory => "memory",
            Place::Postgres(_) => "postgres",
        };
        let name = format!("{mode}, {callers} callers{}", if is_slow { ", slow flush" } else { "" });
        let (turns, count, few) = match (callers, is_slow) {
            (1, false) => (15, 50, 50),
            (1, true) => (3, 50, 50),
            (_, false) => (7, 2_048, 256),
            (_, true) => (3, 2_048, 128),
        };
        let turns = if options.is_alone { 2 } else { turns };
        let (turns, count, few) = (options.pick(turns, 1), options.pick(count, 8), options.pick(few, 4));
        Self { name, place, callers, turns, count, few }
    }

    /// Lets the town and the bare ones take turns; each turn is of one verb, so that the beads of a create are
    /// claimed and then closed.
    fn compare(&self, options: &Options, tokio: &Runtime, script: &mut Option<Arc<Script>>, report: &mut Report) {
        let Self { callers, turns, count, few, .. } = *self;
        let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
        let path = |name: &str| dir.path().join(name);
        let town = tokio.block_on(self.place.open(&path("town")));
        let writer = Threads::named("gastown-writer", &[]);
        let mut beads = Vec::new();
        let mut contenders = vec![Contender::new("town", |turn| {
            let before = writer.ran();
            let turn = ours(&town, Verb::ALL[turn % 3], callers, count, &mut beads);
            tokio.block_on(turn).with_writer(&writer, before)
        })];
        let synchronous = self.place.synchronous().filter(|_| !options.is_alone);
        if let Some(synchronous) = synchronous {
            let script = Arc::clone(script.get_or_insert_with(|| Arc::new(record(options, tokio, &path("script")))));
            let bare = |name: &str| Bare::new(&made(tokio, &path(name)), synchronous);
            let (single, whole, each) = (bare("single"), bare("whole"), bare("each"));
            let (single_db, whole_db) = (single.connect(), whole.connect());
            let group = Group::start(bare("group"), Arc::clone(&script));
            let group_writer = Threads::named("bare-writer", &[]);
            let loop_script = Arc::clone(&script);
            let bulk_script = Arc::clone(&script);
            contenders.push(Contender::new("bare writer that groups", move |turn| {
                let before = group_writer.ran();
                let turn = group.drive(callers, count, Verb::ALL[turn % 3], turn / 3 * count);
                tokio.block_on(turn).with_writer(&group_writer, before)
            }));
            contenders.push(Contender::new("bare loop, one commit each", move |turn| {
                single.one_by_one(&single_db, &loop_script, Verb::ALL[turn % 3], turn / 3 * few, few)
            }));
            contenders.push(Contender::new("one bulk transaction", move |turn| {
                whole.bulk(&whole_db, &bulk_script, Verb::ALL[turn % 3], turn / 3 * count, count)
            }));
            if callers > 1 {
                let (mut made, how_long) = (count, Duration::from_millis(options.pick(2_000, 50) as u64));
                let contender = Contender::new("one connection for each caller", move |turn| {
                    let (verb, first) = (Verb::ALL[turn % 3], turn / 3 * count);
                    let count = if verb == Verb::Create { count } else { made };
                    let turn = each.one_each(callers, &script, verb, first, count, how_long);
                    // What was not made is not claimed, and what was not claimed is not closed.
                    made = turn.each.len();
                    turn
                });
                contenders.push(contender.at_most(3));
            }
        }
        if let Place::Postgres(url) = self.place
            && !options.is_alone
        {
            let script = script.get_or_insert_with(|| Arc::new(record(options, tokio, &path("script"))));
            self.on_server(options, tokio, (url, dir.path()), script, report, &mut contenders);
        }
        let figures = interleave(turns * 3, contenders);
        let goal = if callers == 1 { Goal::Time } else { Goal::Rate };
        for (step, verb) in Verb::ALL.iter().enumerate() {
            let of_verb: Vec<Figures> = figures.iter().map(|all| all.every(3, step)).collect();
            report.case(&format!("{}, {}", verb.name(), self.name), goal, &of_verb);
            let is_flushed = matches!(self.place, Place::Full | Place::Postgres(_));
            if is_flushed && callers == 1 {
                report.goal("bare loop, one commit each", Wanted::AtMost(1.5));
            } else if is_flushed && callers > 32 {
                report.goal("bare writer that groups", Wanted::AtLeast(0.8));
                if self.name.ends_with("slow flush") || matches!(self.place, Place::Postgres(_)) {
                    report.goal("one connection for each caller", Wanted::AtLeast(10.0));
                }
            }
        }
        tokio.block_on(town.close()).expect("a town closes");
    }

    /// Those that a town on Postgres is compared with.
    fn on_server<'c>(
        &self,
        options: &Options,
        tokio: &'c Runtime,
        (url, dir): (&str, &Path),
        script: &Arc<Script>,
        report: &mut Report,
        contenders: &mut Vec<Contender<'c>>,
    ) {
        let Self { callers, count, few, .. } = *self;
        let bare = |name: &str| {
            let dir = dir.join(name);
            tokio.block_on(async { Place::Postgres(url).open(&dir).await.close().await }).expect("a town closes");
            bare_pg::Bare::new(url, &schema(&dir))
        };
        let (single, whole, each) = (bare("single").connect(), bare("whole").connect(), bare("each"));
        let trips =
            Figures { name: "a question and its answer", turns: vec![single.round_trips(options.pick(500, 4))] };
        let disk = flushes(&options.dir, options.pick(300, 4));
        let disk = Figures { name: "write and flush of 4 KiB on this disk", turns: vec![disk] };
        report.case("the server and the disk", Goal::Time, &[trips, disk]);
        let group = bare_pg::Group::start(bare("group"), Arc::clone(script));
        let writer = Threads::named("bare-writer", &[]);
        contenders.push(Contender::new("bare writer that groups", move |turn| {
            let before = writer.ran();
            let turn = group.drive(callers, count, Verb::ALL[turn % 3], turn / 3 * count);
            tokio.block_on(turn).with_writer(&writer, before)
        }));
        let known = Arc::clone(script);
        contenders.push(Contender::new("bare loop, one commit each", move |turn| {
            single.one_by_one(&known, Verb::ALL[turn % 3], turn / 3 * few, few)
        }));
        let known = Arc::clone(script);
        contenders.push(Contender::new("one bulk transaction", move |turn| {
            whole.bulk(&known, Verb::ALL[turn % 3], turn / 3 * count, count)
        }));
        if callers > 1 {
            let (mut made, how_long) = (count, Duration::from_millis(options.pick(2_000, 50) as u64));
            let known = Arc::clone(script);
            let contender = Contender::new("one connection for each caller", move |turn| {
                let (verb, first) = (Verb::ALL[turn % 3], turn / 3 * count);
                let count = if verb == Verb::Create { count } else { made };
                let turn = each.one_each(callers, &known, verb, first, count, how_long);
                // What was not made is not claimed, and what was not claimed is not closed.
                made = turn.each.len();
                turn
            });
            contenders.push(contender.at_most(3));
        }
    }
}

/// A file with the town's schema.
fn made(tokio: &Runtime, dir: &Path) -> PathBuf {
    tokio.block_on(async { Place::Normal.open(dir).await.close().await }).expect("a town closes");
    dir.join("town.db")
}

/// Has a town run the commands that the bare ones will write the rows of, one after the other.
fn record(options: &Options, tokio: &Runtime, dir: &Path) -> Script {
    let count = options.pick(7 * 2_048, 8);
    let town = tokio.block_on(Place::Normal.open(dir));
    let mut beads = Vec::new();
    for verb in Verb::ALL {
        tokio.block_on(ours(&town, verb, 1, count, &mut beads));
    }
    tokio.block_on(town.close()).expect("a town closes");
    Script::read(&dir.join("town.db"))
}

fn new_bead(n: usize) -> NewBead {
    NewBead {
        description: "The quay is full of nets and ropes. ".repeat(16),
        ..NewBead::titled(format!("Tidy quay {n}"))
    }
}

/// The town's turn; a create leaves the ids for the turns that follow.
async fn ours(town: &Town, verb: Verb, callers: usize, count: usize, beads: &mut Vec<BeadId>) -> Turn {
    let handle = town.operator().beads();
    match verb {
        Verb::Create => {
            beads.clear();
            let made = Arc::new(Mutex::new(Vec::with_capacity(count)));
            let ids = Arc::clone(&made);
            let turn = drive(callers, count, move |n| {
                let (handle, ids) = (handle.clone(), Arc::clone(&ids));
                async move {
                    let bead = handle.create(new_bead(n)).await.expect("a bead is made");
                    ids.lock().expect("no caller panics").push(bead.id);
                }
            })
            .await;
            beads.append(&mut made.lock().expect("no caller panics"));
            turn
        }
        Verb::Claim => {
            let beads = beads.clone();
            drive(callers, count, move |n| {
                let (handle, id) = (handle.clone(), beads[n].clone());
                async move {
                    let claim = Claim::of(id, "tess");
                    handle.claim(claim).await.expect("a bead is claimed");
                }
            })
            .await
        }
        Verb::Close => {
            let beads = beads.clone();
            drive(callers, count, move |n| {
                let (handle, id) = (handle.clone(), beads[n].clone());
                async move {
                    handle.close(id).await.expect("a bead is closed");
                }
            })
            .await
        }
    }
}

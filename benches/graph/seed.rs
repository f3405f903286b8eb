//! Beads of a town of any size, drawn from numbers: the same size gives the same beads.
//!
//! Each bead has two edges. A hidden order keeps them free of circles: the order of creation with each bead moved by up
//! to 64 places. A bead's edges go to beads before it in that order, at a distance drawn evenly on the scale of its
//! logarithm, so many of them go to near beads and some across the whole town; a few go forwards in the order of creation.
//! Of twenty edges about sixteen block, one is of a part to its parent, and three only relate. Every sixteenth bead may
//! have parts, and nobody waits for it: its parts may come behind whoever did. Of the older six tenths of the beads nine of
//! ten are closed, of the newer ones one of ten.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use gastown_core::interchange::Time;
use gastown_core::model::{BeadId, Timestamp};
use gastown_core::{All, Town};
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Runtime;

/// How far a bead's place in the hidden order is from its place in the order of creation.
const MOVED_MAX: u64 = 64;
/// When the first bead was made, in seconds since 1970; the others follow by the second.
const BEGUN: u64 = 1_700_000_000;
/// Every such bead may have parts, and nobody waits for it.
const PARENTS_EVERY: u64 = 16;
/// Digits of an id.
const DIGITS: u32 = 6;

const NOUNS: [&str; 32] = [
    "anchor", "ballast", "beacon", "berth", "bilge", "boom", "bow", "buoy", "cable", "capstan", "chart", "cleat",
    "compass", "crane", "deck", "dock", "fender", "galley", "gangway", "hatch", "hull", "keel", "ladder", "lantern",
    "mast", "pier", "pump", "quay", "rope", "rudder", "sail", "winch",
];
const VERBS: [&str; 16] = [
    "caulk", "check", "clean", "drain", "fit", "grease", "hoist", "lash", "lift", "mend", "move", "oil", "paint",
    "raise", "sew", "tar",
];

const TYPES: [&str; 5] = ["task", "task", "task", "bug", "feature"];

/// A number drawn from what names it.
pub(crate) fn draw(what: &str, of: u64) -> u64 {
    let mut word = what
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    word = word.wrapping_add(of.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        word = (word ^ (word >> shift)).wrapping_mul(factor);
    }
    word ^ (word >> 31)
}

/// The id of the `n`th bead: six digits of base 36 in no order.
pub(crate) fn id(n: u64) -> String {
    let all = 36_u64.pow(DIGITS);
    // Coprime to the number of ids, so that no two are the same.
    let mut rest = (n.wrapping_mul(1_234_567_891) + 987_654_321) % all;
    let mut digits = [0; DIGITS as usize];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    format!("hq-{}", std::str::from_utf8(&digits).expect("digits are letters"))
}

/// The `n`th bead's id as the library has it.
pub(crate) fn bead_id(n: u64) -> BeadId {
    BeadId::new(id(n)).expect("it is an id")
}

/// Where a bead stands in the hidden order, in parts of a place.
fn place(n: u64) -> u64 {
    n + draw("moved", n) % MOVED_MAX
}

/// Whether a bead may have parts.
pub(crate) const fn has_parts(n: u64) -> bool {
    n.is_multiple_of(PARENTS_EVERY)
}

fn is_before(one: u64, other: u64) -> bool {
    (place(one), one) < (place(other), other)
}

/// A bead before the `n`th in the hidden order, the one of this draw; none where there is hardly one.
pub(crate) fn before(n: u64, what: &str) -> Option<u64> {
    if n < 2 {
        return None;
    }
    for attempt in 0..16 {
        let random = draw(what, n * 16 + attempt);
        // Evenly on the scale of the logarithm: first how many bits the distance has, then the distance.
        let bits = random % u64::from(64 - n.leading_zeros());
        let distance = (1 << bits) + (random >> 16) % (1 << bits);
        // One of sixteen looks forward, where the hidden order may still have it before.
        let other = if (random >> 8).is_multiple_of(16) { n + distance % MOVED_MAX } else { n.wrapping_sub(distance) };
        if other < n + MOVED_MAX && is_before(other, n) {
            return Some(other);
        }
    }
    None
}

fn time(seconds: u64) -> String {
    Time::new(Timestamp::from_micros(i64::try_from(seconds * 1_000_000).expect("it is in range"))).canonical()
}

/// The `n`th of `size` beads as other tools write it.
fn line(n: u64, size: u64) -> Json {
    let of = |what: &str, count: usize| usize::try_from(draw(what, n) % count as u64).expect("it is below the count");
    let title = format!(
        "{} the {} by the {} of berth {n}",
        VERBS[of("verb", VERBS.len())],
        NOUNS[of("noun", NOUNS.len())],
        NOUNS[of("other noun", NOUNS.len())],
    );
    let made = BEGUN + n;
    let is_closed = of("closed", 10) < if n < size * 6 / 10 { 9 } else { 1 };
    let words = 12 + of("length", 40);
    let description: Vec<&str> = (0..words)
        .map(|word| NOUNS[usize::try_from(draw("word", n * 64 + word as u64) % 32).expect("small")])
        .collect();
    let mut bead = json!({
        "id": id(n), "title": title, "description": description.join(" "), "priority": of("priority", 5),
        "issue_type": TYPES[of("type", TYPES.len())], "created_by": "tess",
        "created_at": time(made), "updated_at": time(made + 3_600),
        "status": if is_closed { "closed" } else { "open" },
    });
    let fields = bead.as_object_mut().expect("it is an object");
    if is_closed {
        fields.insert("closed_at".to_owned(), json!(time(made + 3_600)));
        fields.insert("close_reason".to_owned(), json!("done"));
    }
    if of("labelled", 4) == 0 {
        fields.insert("labels".to_owned(), json!([format!("area/{}", NOUNS[of("label", 32)])]));
    }
    edges(n, size, fields);
    bead
}

fn edges(n: u64, size: u64, fields: &mut Map<String, Json>) {
    let mut edges: Vec<Json> = Vec::new();
    let mut on = Vec::new();
    for (nth, what) in ["first edge", "second edge"].into_iter().enumerate() {
        let Some(drawn) = before(n, what).filter(|other| *other < size) else { continue };
        let parent = drawn - drawn % PARENTS_EVERY;
        let (other, kind) = match draw("kind", n * 2 + nth as u64) % 10 {
            0 if nth == 0 && is_before(parent, n) => (parent, "parent-child"),
            0 | 1 if nth == 1 => (drawn, "related"),
            _ if has_parts(drawn) => (drawn, "related"),
            _ => (drawn, "blocks"),
        };
        if on.contains(&other) {
            continue;
        }
        edges.push(json!({
            "issue_id": id(n), "depends_on_id": id(other), "type": kind, "created_at": time(BEGUN + n),
            "created_by": "tess",
        }));
        on.push(other);
    }
    if !edges.is_empty() {
        fields.insert("dependencies".to_owned(), Json::Array(edges));
    }
}

/// Writes the beads of these numbers as lines, by their ids as other tools do; answers how many bytes.
pub(crate) fn write(path: &Path, numbers: std::ops::Range<u64>, size: u64) -> u64 {
    let mut sorted: Vec<u64> = numbers.collect();
    sorted.sort_by_cached_key(|n| id(*n));
    let mut out = BufWriter::new(std::fs::File::create(path).expect("a file can be made"));
    for n in sorted {
        serde_json::to_writer(&mut out, &line(n, size)).expect("it can be written");
        out.write_all(b"\n").expect("it can be written");
    }
    out.into_inner().expect("it can be written").metadata().expect("it is there").len()
}

/// A town of `size` beads in a folder that is kept, made through the library's import and checked once.
///
/// # Errors
/// A sentence about what the check found.
pub(crate) fn town(tokio: &Runtime, dir: &Path, size: usize) -> Result<PathBuf, String> {
    let folder = dir.join(format!("graph-of-{size}"));
    if folder.join("whole").exists() {
        return Ok(folder);
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?,
    }
    let lines = folder.join("beads.jsonl");
    write(&lines, 0..size as u64, size as u64);
    tokio.block_on(async {
        let town = Town::builder(&folder).open().await.expect("a town opens");
        let begun = std::time::Instant::now();
        let report = town.operator().beads().import_from(&*lines).await.expect("it is imported");
        let took = begun.elapsed().as_secs_f64();
        println!("a town of {size} beads was made in {took:.1} s, {:.0} beads a second", size as f64 / took);
        let odd = report.flaws + report.dangling + report.circles + report.conflicts + report.skipped;
        if report.created != size as u64 || odd > 0 {
            return Err(format!("the import of {size} beads went wrong: {report:?}"));
        }
        let checked = town.operator().upkeep().check(All {}).await.expect("it can be checked");
        town.close().await.expect("a town closes");
        if checked.findings.is_empty() { Ok(()) } else { Err(format!("the town is not whole: {:?}", checked.findings)) }
    })?;
    std::fs::write(folder.join("whole"), "").map_err(|error| error.to_string())?;
    Ok(folder)
}

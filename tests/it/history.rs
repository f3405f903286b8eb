//! What a child said it tried and what it was answered, held against what its town holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gastown_core::store::{Durability, SqliteOptions};
use gastown_core::{ErrorKind, Town};
use rusqlite::OpenFlags;
use serde_json::Value as Json;

/// One command, by its idempotency key.
#[derive(Debug)]
struct Command {
    operation: String,
    input: Json,
    /// What it was answered; none where nobody heard.
    answer: Option<Json>,
    /// Whether it was found to be in order before.
    is_checked: bool,
}

/// What the children of one town said.
#[derive(Debug, Default)]
pub(crate) struct History {
    commands: BTreeMap<String, Command>,
    /// The errors that were answered: key, kind, code.
    pub(crate) failed: Vec<(String, String, String)>,
}

impl History {
    /// Takes down one line; one that was cut off by a kill was never said.
    pub(crate) fn hear(&mut self, line: &str) {
        let Ok(said) = serde_json::from_str::<Json>(line) else { return };
        let word = |name: &str| said[name].as_str().map(str::to_owned);
        if let Some(key) = word("try") {
            let operation = word("operation").unwrap();
            let new = Command { operation, input: said["input"].clone(), answer: None, is_checked: false };
            let known = self.commands.entry(key).or_insert(new);
            assert_eq!(known.input, said["input"], "a key is used for one command");
            known.is_checked = false;
        } else if let Some(key) = word("done") {
            let command = self.commands.get_mut(&key).unwrap();
            let answer = command.answer.get_or_insert_with(|| said["answer"].clone());
            assert_eq!(*answer, said["answer"], "{key} was answered twice, and not the same");
        } else if let Some(key) = word("failed") {
            self.failed.push((key, word("kind").unwrap(), format!("{}: {}", said["code"], said["why"])));
        }
    }

    /// How many commands were answered.
    pub(crate) fn answered(&self) -> usize {
        self.commands.values().filter(|command| command.answer.is_some()).count()
    }

    /// Opens the town and says that everything that was answered is there, whole, and nothing twice.
    ///
    /// What was tried and not answered may be there or not; it is repeated, and then it is there once.
    pub(crate) async fn holds(&mut self, folder: &Path) {
        let mut options = SqliteOptions::default();
        options.durability = Durability::Full;
        let town =
            Town::builder(folder).sqlite_options(options).open().await.expect("it opens after whatever happened");
        let operator = town.operator();
        // Before anything is repeated, and after.
        is_whole(folder);
        let db = database(folder);
        let head = || db.query_row("SELECT max(seq) FROM event", [], |row| row.get::<_, i64>(0)).unwrap();
        for (key, command) in self.commands.iter_mut().filter(|(_, command)| !command.is_checked) {
            let before = head();
            let again = operator.with_key(key).call(&command.operation, command.input.clone()).await;
            let after = head();
            match (&command.answer, again) {
                (Some(answer), Ok(again)) => {
                    assert_eq!(*answer, again, "{key} was answered otherwise than before");
                    assert_eq!(before, after, "{key} was done again, so what was answered is lost");
                }
                (Some(_), Err(error)) => panic!("{key} was answered and is lost: {error:?}"),
                (None, Ok(again)) => {
                    let third = operator.with_key(key).call(&command.operation, command.input.clone()).await.unwrap();
                    assert_eq!(again, third, "{key}");
                    assert_eq!(after, head(), "{key} was done twice");
                    command.answer = Some(again);
                }
                (None, Err(error)) => assert!(
                    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Invalid),
                    "{key}: {error:?}"
                ),
            }
            command.is_checked = true;
        }
        drop(db);
        let replay = town.replay().await.expect("the journal's chain holds");
        assert_eq!(replay.differences, Vec::<String>::new(), "the journal gives other rows than are stored");
        self.answers_are_in_the_rows(folder);
        is_whole(folder);
        town.close().await.unwrap();
    }

    /// Every bead that an answer names is there, at least at the version of the answer, and the same where it is at
    /// that version.
    fn answers_are_in_the_rows(&self, folder: &Path) {
        let db = database(folder);
        let mut find = db.prepare("SELECT title, status, assignee, version FROM bead WHERE id = ?1").unwrap();
        let answers = self.commands.iter().filter_map(|(key, command)| Some((key, command.answer.as_ref()?)));
        for (key, answer) in answers.filter(|(_, answer)| answer["id"].is_string()) {
            let text = |row: &rusqlite::Row<'_>, at| {
                row.get::<_, Option<String>>(at).unwrap().map_or(Json::Null, Json::String)
            };
            let (stored, version) = find
                .query_row([answer["id"].as_str().unwrap()], |row| {
                    Ok(([text(row, 0), text(row, 1), text(row, 2)], row.get::<_, i64>(3)?))
                })
                .unwrap_or_else(|error| panic!("{key} answered bead {}: {error}", answer["id"]));
            let answered = answer["version"].as_i64().unwrap();
            assert!(version >= answered, "{key} answered version {answered}, version {version} is stored");
            if version == answered {
                assert_eq!(
                    stored,
                    [&answer["title"], &answer["status"], &answer["assignee"]].map(Json::clone),
                    "{key}"
                );
            }
        }
    }
}

fn database(folder: &Path) -> rusqlite::Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    rusqlite::Connection::open_with_flags(folder.join("town.db"), flags).unwrap()
}

/// Each finds what would be half a command; the children's beads carry the key of the command that wrote them last in
/// their title, their text and their label, and the key of the one that made them in their metadata.
const HALVES: &[(&str, &str)] = &[
    ("the file is damaged", "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
    (
        "a title, its text and its label are of different commands",
        "SELECT b.id FROM bead b LEFT JOIN bead_text t ON t.id = b.id
         WHERE t.description IS NOT 'about ' || b.title
            OR (SELECT group_concat(label) FROM label WHERE bead = b.id) IS NOT b.title",
    ),
    (
        "a text or a label is nobody's",
        "SELECT id FROM bead_text WHERE id NOT IN (SELECT id FROM bead)
         UNION ALL SELECT bead FROM label WHERE bead NOT IN (SELECT id FROM bead)",
    ),
    (
        "an edge has no end",
        "SELECT bead FROM dependency
         WHERE bead NOT IN (SELECT id FROM bead) OR on_bead NOT IN (SELECT id FROM bead)",
    ),
    (
        "blockers are counted wrongly",
        "SELECT b.id FROM bead b WHERE b.blockers <>
            (SELECT count(*) FROM dependency d JOIN bead o ON o.id = d.on_bead
             WHERE d.bead = b.id AND d.kind = 'blocks' AND b.status <> 'closed' AND o.status <> 'closed')",
    ),
    (
        "an edge is counted otherwise than in its bead",
        "SELECT id FROM bead WHERE blockers <> (SELECT count(*) FROM dependency WHERE bead = id AND counted = 1)",
    ),
    (
        "a bead is half closed or half claimed",
        "SELECT id FROM bead WHERE (status = 'closed') <> (closed_at IS NOT NULL)
            OR (status = 'closed') <> (resolution IS NOT NULL) OR (status = 'in_progress') <> (assignee IS NOT NULL)",
    ),
    (
        "a bead was made without its answer being remembered, or twice",
        "SELECT b.id FROM bead b WHERE 1 <>
            (SELECT count(*) FROM idempotency i WHERE i.idempotency_key = b.metadata ->> 'key'
                AND i.operation = 'beads.create' AND i.answer ->> 'id' = b.id)
         UNION ALL SELECT min(id) FROM bead GROUP BY metadata ->> 'key' HAVING count(*) > 1",
    ),
    (
        "an answer is remembered of what was not done",
        "SELECT i.idempotency_key FROM idempotency i WHERE i.answer ->> 'id' IS NOT NULL
            AND i.answer ->> 'id' NOT IN (SELECT id FROM bead)",
    ),
    (
        "a bead was made otherwise than once in the journal",
        "SELECT b.id FROM bead b
         WHERE 1 <> (SELECT count(*) FROM event e WHERE e.kind = 'bead.created' AND e.subject = b.id)",
    ),
    ("the journal has a gap", "SELECT max(seq) FROM event HAVING count(*) <> max(seq)"),
];

/// Says that no command is there by half.
fn is_whole(folder: &Path) {
    let db = database(folder);
    for (what, query) in HALVES {
        let mut statement = db.prepare(query).unwrap();
        let found: Vec<String> = statement
            .query_map([], |row| row.get_ref(0).map(|value| format!("{value:?}")))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

/// Small and repeatable: the next number of a sequence, below `bound`.
pub(crate) fn draw(seed: &mut u64, bound: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from((*seed >> 33) % u64::try_from(bound).unwrap()).unwrap()
}

/// A number that the caller of the tests gives by a variable.
#[allow(clippy::disallowed_methods, reason = "the caller of the tests asks for it by a variable")]
pub(crate) fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Whether the long form was asked for.
pub(crate) fn is_soak() -> bool {
    asked("GASTOWN_SOAK").is_some()
}

/// Says, where the test fails over it, what it was, and keeps the files to be looked at.
pub(crate) struct Evidence {
    name: String,
    folder: PathBuf,
}

impl Evidence {
    /// `name` is the variable that runs the same again, as `VARIABLE=value`.
    pub(crate) fn of(name: impl Into<String>, folder: &Path) -> Self {
        Self { name: name.into(), folder: folder.to_owned() }
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name.replace([':', '='], "-"));
        eprintln!("{} fails; the files are in {}", self.name, kept.display());
        // A second panic would hide the first.
        let _ = std::fs::remove_dir_all(&kept);
        let _ = std::fs::create_dir_all(&kept);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = std::fs::copy(entry.path(), kept.join(entry.file_name()));
        }
    }
}

//! Whose file it is, and how it comes to the present schema.

#![allow(
    clippy::disallowed_methods,
    reason = "waiting for another process to make the schema has a real deadline, and nothing announces its end"
)]

use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::error::{not_a_town, of_sqlite};
use super::is_busy;
use crate::model::{Error, Result};

/// Marks a file as ours: "GTWN".
pub(super) const APPLICATION_ID: i32 = 0x4754_574e;

/// The pause before `journal_mode` is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// One step of the schema; the text of a published one never changes.
pub(super) struct Migration {
    pub(super) version: i32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// Every step, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "records and journal", sql: include_str!("migrations/0001.sql") },
    Migration { version: 2, name: "deliveries", sql: include_str!("migrations/0002.sql") },
    Migration { version: 3, name: "the whole bead", sql: include_str!("migrations/0003.sql") },
    Migration { version: 4, name: "dispatch, liveness, quarantine", sql: include_str!("migrations/0004.sql") },
    Migration { version: 5, name: "saved work, drains", sql: include_str!("migrations/0005.sql") },
    Migration { version: 6, name: "capabilities", sql: include_str!("migrations/0006.sql") },
];

/// The schema that this build reads and writes.
pub(super) const VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The file's schema version, 0 for an empty file; refuses files that are not ours or of a later version.
pub(super) fn identify(db: &Connection) -> Result<i32> {
    // One statement, so that it is of one moment: another process may be making the schema.
    let query = "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) \
                 FROM pragma_application_id, pragma_user_version";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i32>(0)?, row.get::<_, i32>(1)?, row.get::<_, i64>(2)?));
    let (application, version, objects) = db.query_row(query, [], read).map_err(of_sqlite)?;
    if application != APPLICATION_ID {
        if application == 0 && version == 0 && objects == 0 {
            return Ok(0);
        }
        return Err(not_a_town("another program made it").with("application_id", application));
    }
    if version < 1 {
        return Err(Error::corrupt(
            "store_corrupt",
            format!("the file is a town's and says that its schema is {version}"),
        )
        .with("found", version));
    }
    if version > VERSION {
        return Err(Error::unsupported(
            "schema_newer",
            format!("the file has schema {version}, this build knows {VERSION}"),
        )
        .with("found", version)
        .with("known", VERSION));
    }
    check_steps(db, version)?;
    Ok(version)
}

/// Holds the steps that made the file against those that were published.
fn check_steps(db: &Connection, version: i32) -> Result<()> {
    let altered = |step: i32| {
        Error::corrupt("schema_altered", format!("step {step} of the schema is not the one that was published"))
            .with("version", step)
    };
    let mut statement =
        db.prepare("SELECT version, sha256 FROM migration ORDER BY version").map_err(|e| altered(1).because(e))?;
    let taken = statement
        .query_map([], |row| Ok((row.get::<_, i32>(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => of_sqlite(error),
            // What is there is no list of steps.
            other => altered(1).because(other),
        })?;
    let known = MIGRATIONS.iter().take_while(|step| step.version <= version);
    if let Some((further, _)) = taken.iter().find(|(number, _)| *number > version) {
        // More steps were taken than the file said: by another process meanwhile, or by nobody.
        let version = db.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).map_err(of_sqlite)?;
        if version < *further {
            return Err(altered(*further));
        }
    }
    for (place, step) in known.enumerate() {
        if taken.get(place).is_none_or(|(number, sum)| *number != step.version || *sum != sha256(step.sql)) {
            return Err(altered(step.version));
        }
    }
    Ok(())
}

/// Puts the file into write-ahead mode, where it is not yet.
pub(super) fn use_wal(db: &Connection, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Error::unsupported("store_no_wal", "the file's place does not allow a write-ahead log")
                    .with("journal_mode", mode));
            }
            // SQLite does not wait here by itself, and a lock tells nobody when it is free.
            Err(error) if is_busy(&error) && Instant::now() < deadline => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(of_sqlite(error)),
        }
    }
}

/// Takes every step that the file lacks, each in a transaction of its own.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    migrate_through(db, MIGRATIONS)
}

/// Takes those of these steps that the file lacks.
pub(super) fn migrate_through(db: &mut Connection, steps: &[Migration]) -> Result<()> {
    for step in steps {
        // Nobody waits for a lock where there is nothing to be done under it.
        if identify(db)? >= step.version {
            continue;
        }
        let txn = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(of_sqlite)?;
        // Looked up under the lock: another process may have taken it meanwhile.
        if identify(&txn)? < step.version {
            apply(&txn, step)
                .map_err(|source| of_sqlite(source).with("migration", step.version).with("name", step.name))?;
            txn.commit().map_err(of_sqlite)?;
        }
    }
    Ok(())
}

fn apply(txn: &Connection, step: &Migration) -> rusqlite::Result<()> {
    txn.execute_batch(step.sql)?;
    txn.execute(
        "INSERT INTO migration (version, name, sha256, library, applied_at) \
         VALUES (?1, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
        params![step.version, step.name, sha256(step.sql), env!("CARGO_PKG_VERSION")],
    )?;
    txn.pragma_update(None, "application_id", APPLICATION_ID)?;
    txn.pragma_update(None, "user_version", step.version)
}

/// The hexadecimal SHA-256 of a step's text.
pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

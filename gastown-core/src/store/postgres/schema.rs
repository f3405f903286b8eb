//! Whose schema it is, and how it comes to the present version.

use sha2::{Digest as _, Sha256};

use super::error::not_a_town;
use super::line::{Line, Step};
use super::sql::quoted;
use super::text::Parameter;
use crate::model::event::hex;
use crate::model::{Error, Result};

/// One step of the schema; the text of a published one never changes.
pub(super) struct Migration {
    pub(super) version: i64,
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
pub(super) const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// How many tables the schema has, and how many of them are called as our list of steps.
const TABLES: &str = "SELECT count(*), count(*) FILTER (WHERE c.relname = 'migration') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

const RECORD: &str = "INSERT INTO migration (version, name, sha256, library, applied_at) \
     VALUES ($1, $2, $3, $4, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

/// Makes the schema where it is missing and takes every step that it lacks.
pub(super) fn settle(line: &Line, schema: &str, lock: i64) -> Result<()> {
    if identify(line, schema)? == VERSION {
        return Ok(());
    }
    take_all(line, schema, lock, MIGRATIONS)
}

/// Refuses a schema that is not there any more, or not of the present version.
pub(super) fn expect(line: &Line, schema: &str) -> Result<()> {
    if identify(line, schema)? == VERSION {
        return Ok(());
    }
    Err(Error::corrupt("schema_altered", format!("the schema {schema} was taken away while it was open"))
        .with("schema", schema))
}

/// Takes those of these steps that the schema lacks, each in a transaction of its own.
pub(super) fn take_all(line: &Line, schema: &str, lock: i64, steps: &[Migration]) -> Result<()> {
    for step in steps {
        // Nobody waits for a lock where there is nothing to be done under it.
        if identify(line, schema)? >= step.version {
            continue;
        }
        let taken = take(line, schema, lock, step);
        if taken.is_err() && line.batch("ROLLBACK").is_err() {
            line.give_up();
        }
        taken.map_err(|error| error.with("migration", step.version).with("name", step.name))?;
    }
    Ok(())
}

/// Several instances may be about an unmade schema, so whoever finds it so waits half a minute for the others, where it is
/// to wait less for other writers.
const PATIENCE: &str = "SELECT set_config('lock_timeout', greatest(setting::bigint, 30000)::text, true) \
    FROM pg_settings WHERE name = 'lock_timeout' AND setting <> '0'";

fn take(line: &Line, schema: &str, lock: i64, step: &Migration) -> Result<()> {
    line.batch("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    line.batch(PATIENCE)?;
    line.ask(Step::new("SELECT pg_advisory_xact_lock($1)", vec![Parameter::int(lock)]))?;
    // Looked up under the lock: another process may have taken it meanwhile.
    if identify(line, schema)? < step.version {
        let there = line.ask(Step::new(
            "SELECT nspname::text FROM pg_namespace WHERE nspname = $1::text",
            vec![Parameter::text(schema)],
        ))?;
        if there.is_empty() {
            line.batch(&format!("CREATE SCHEMA {}", quoted(schema)))?;
        }
        line.batch(step.sql)?;
        let texts = [step.name, &sha256(step.sql), env!("CARGO_PKG_VERSION")].map(Parameter::text);
        let parameters = std::iter::once(Parameter::int(step.version)).chain(texts).collect();
        line.ask(Step::new(RECORD, parameters))?;
    }
    line.batch("COMMIT")
}

/// The schema's version, 0 where there is none; refuses one that is not ours, was altered, or is of a later version.
pub(super) fn identify(line: &Line, schema: &str) -> Result<i64> {
    let unreadable = |source| not_a_town("its list of steps cannot be read").because(source).with("schema", schema);
    let tables = line.ask(Step::new(TABLES, vec![Parameter::text(schema)]))?;
    let counts = tables.first().ok_or_else(|| Error::internal("store_postgres", "a count has no row"))?;
    let (all, ours): (i64, i64) = (counts.try_get(0).map_err(unreadable)?, counts.try_get(1).map_err(unreadable)?);
    if ours == 0 {
        return if all == 0 { Ok(0) } else { Err(not_a_town("another program made it").with("schema", schema)) };
    }
    let list = format!("SELECT version, name, sha256 FROM {}.migration ORDER BY version", quoted(schema));
    let steps = line.ask(Step::new(list, Vec::new())).map_err(|error| match error.fact("sqlstate") {
        // Another program's table of that name.
        Some("42703" | "42883") => not_a_town("another program made it").with("schema", schema).because(error),
        _ => error,
    })?;
    let steps = steps
        .iter()
        .map(|row| Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    check_steps(&steps).map_err(|error| error.with("schema", schema))
}

/// Holds the steps that were taken against those that this build knows; gives the last one's version.
fn check_steps(taken: &[(i64, String, String)]) -> Result<i64> {
    if taken.first().is_none_or(|(version, name, _)| (*version, name.as_str()) != (1, MIGRATIONS[0].name)) {
        return Err(not_a_town("another program made it"));
    }
    for ((version, _, sum), known) in taken.iter().zip(MIGRATIONS) {
        if *version != known.version || *sum != sha256(known.sql) {
            return Err(Error::corrupt(
                "schema_altered",
                format!("step {version} of the schema is not the one that was published"),
            )
            .with("version", version));
        }
    }
    let found = taken.last().map_or(0, |(version, ..)| *version);
    if found > VERSION {
        return Err(Error::unsupported(
            "schema_newer",
            format!("the schema has version {found}, this build knows {VERSION}"),
        )
        .with("found", found)
        .with("known", VERSION));
    }
    Ok(found)
}

/// The hexadecimal SHA-256 of a step's text.
pub(super) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

//! The backend in a schema of a Postgres database, which any number of processes may share.
//!
//! Tables and columns are those of the SQLite file (see `migrations/`), so that `psql` is useful to a person. Each
//! write transaction is under its town's lock, an advisory one that ends with the transaction.

mod changes;
mod connection;
mod error;
#[cfg(test)]
mod failure_tests;
mod guess;
mod line;
mod queue;
#[cfg(test)]
mod refusal_tests;
mod schema;
mod shape;
mod sql;
#[cfg(any(test, feature = "testkit"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod txn;
mod upkeep;
mod url;
mod view;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use self::changes::{Ears, PostgresChanges};
use self::connection::PostgresConnection;
use self::line::{Line, Step};
use self::text::Parameter;
use self::txn::CommitMark;
use self::url::Place;
use super::{Access, Backend, Changes, Connection};
use crate::model::{Error, Result, TownId};

/// The oldest Postgres that is used: the statements use what came with it.
const VERSION_MIN: u32 = 13;

/// Towns in one schema of a Postgres database.
///
/// Connections are used by plain threads: the store's are. On one of an async runtime they answer `store_blocking`.
#[derive(Clone)]
pub struct PostgresBackend {
    place: Arc<Place>,
    /// Once it had its schema: where that is gone later, somebody took it away, and no other is made in its place.
    is_settled: Arc<OnceLock<()>>,
}

impl PostgresBackend {
    /// A backend at this URL; nothing is connected yet.
    ///
    /// `postgres://user:password@host:port/database?name=value&…`, with the parameters that other clients of Postgres
    /// know (`sslmode` with all its values but `allow`, `sslrootcert`, `application_name`, `options`,
    /// `target_session_attrs`, `keepalives…`, several hosts) and these:
    ///
    /// - `schema`: where the tables are, made where it is missing; `gastown` where it is left out.
    /// - `connect_timeout` (10, in seconds): how long each host may take until it has let us in, TLS and password included.
    /// - `readers`: how many connections read, at most [`READERS_MAX`](super::READERS_MAX), instead of [`StoreOptions::readers`](super::StoreOptions::readers). A
    ///   store has two more, one that writes and one that listens, and at most two for checks, backups and archives.
    /// - `durability`: `full`, or `normal`, where what was answered may be lost when the server crashes.
    /// - `rows_kib` (8192): how much the writer keeps of the rows that commands work on, in KiB. Who changes rows by hand
    ///   while stores are open deletes the town's rows of `commit_mark` in the same transaction.
    /// - `lock_timeout_ms` (5000): how long one try to begin waits for another process that writes to the town.
    /// - `answer_timeout_ms` (60000): how long the server may take for an answer until it counts as lost.
    /// - `recover_timeout_ms` (10000): how long to find out what became of a commit whose answer was lost.
    /// - `idle_timeout_ms` (8000): when the server ends a transaction that nobody goes on with. It is shorter than
    ///   [`StoreOptions::busy_ms`](super::StoreOptions::busy_ms), so a process that stands still within a transaction
    ///   makes the others wait, and refuses them nothing.
    ///
    /// # Errors
    /// `store_url` ([`Invalid`](crate::ErrorKind::Invalid)), with the parameter's name and never its value.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { place: Arc::new(Place::parse(url)?), is_settled: Arc::default() })
    }

    /// The same database in another durability, whatever the URL says; `full` where `is_full`.
    #[must_use]
    pub fn with_full_durability(mut self, is_full: bool) -> Self {
        Arc::make_mut(&mut self.place).is_durable = is_full;
        self
    }

    /// The schema that holds the tables.
    pub fn schema(&self) -> &str {
        &self.place.schema
    }

    /// Opens a connection that is ready for use.
    fn open(&self, access: Access) -> Result<Line> {
        let line = self.open_bare()?;
        check_server(&line, access)
            .and_then(|()| match self.is_settled.get() {
                None => schema::settle(&line, &self.place.schema, lock_key(&self.place.schema, "")),
                Some(()) => schema::expect(&line, &self.place.schema),
            })
            .and_then(|()| if access == Access::Write { shape::check_complete(&line) } else { Ok(()) })
            .map_err(|error| self.named(error))?;
        // Whoever was first is right.
        let _ = self.is_settled.set(());
        Ok(line)
    }

    /// Opens a connection without a look at the schema.
    fn open_bare(&self) -> Result<Line> {
        self.open_for(None)
    }

    /// The same with somebody who listens.
    fn open_for(&self, ears: Option<Arc<Ears>>) -> Result<Line> {
        let line = Line::open(&self.place, ears)?;
        check_version(&line.version).map_err(|error| self.named(error))?;
        line.batch(&self.session()).map_err(|error| self.named(error))?;
        Ok(line)
    }

    /// How a session is set up.
    fn session(&self) -> String {
        let place = &self.place;
        let durable = if place.is_durable {
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        } else {
            "SET synchronous_commit = off"
        };
        // Every scan has an index that gives it in order; whatever is guessed about a table, nothing is sorted.
        format!(
            "SET search_path = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET client_min_messages = warning; SET enable_seqscan = off; SET enable_bitmapscan = off; \
             SET enable_sort = off; SET enable_incremental_sort = off; SET jit = off; \
             SET plan_cache_mode = force_generic_plan; {durable}",
            sql::quoted(&place.schema),
            place.lock_timeout.as_millis(),
            place.idle_timeout.as_millis(),
        )
    }

    /// What becomes of a commit whose answer was lost: done, undone (then `lost` is the error), or unknown.
    ///
    /// The server could be asked for the transaction's number, but a number is given a second time when the server
    /// crashed before it had written anything of the first. So each transaction leaves a mark of its own.
    fn find_out(&self, mark: &CommitMark, lost: Error) -> Result<()> {
        #[allow(clippy::disallowed_methods, reason = "the server has a real deadline to come back")]
        let now = Instant::now;
        let deadline = now() + self.place.recover_timeout;
        loop {
            match self.is_marked(mark) {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(lost),
                Err(error) if now() >= deadline || !self.is_transient(&error) => {
                    tracing::warn!(code = error.code(), "whether a commit was done is unknown: {}", error.chain());
                    let words = "the connection was lost at the commit, and whether it was done could not be found out";
                    let unknown = Error::unavailable("commit_unknown", words).with("town", &mark.town);
                    return Err(self.named(unknown).because(error));
                }
                Err(_) => pause(),
            }
        }
    }

    /// Whether a transaction left its mark, once nobody has the town's lock.
    fn is_marked(&self, mark: &CommitMark) -> Result<bool> {
        let line = self.open_bare()?;
        let lock = self.lock_key(&mark.town);
        // The session may not have heard that it is alone, and then it keeps the lock.
        let number = |n| Parameter::int(n);
        line.ask(Step::new(
            sql::END_SESSION,
            vec![number(mark.session.pid), number(mark.session.since), number(lock)],
        ))?;
        connection::lock(&line, &mark.town, lock)?;
        let Some((writer, wanted)) = &mark.transaction else { return Ok(false) };
        let asked = Step::new(sql::MARKED, vec![Parameter::text(mark.town.as_str()), Parameter::text(writer)]);
        let answers = line.exchange(&[asked, Step::plain("ROLLBACK")])?;
        let Some(row) = answers[0].first() else { return Ok(false) };
        let found: i64 = row
            .try_get(0)
            .map_err(|source| Error::internal("store_postgres", "a mark is no number").because(source))?;
        Ok(found == *wanted)
    }

    fn lock_key(&self, town: &TownId) -> i64 {
        lock_key(&self.place.schema, town.as_str())
    }

    fn named(&self, error: Error) -> Error {
        error.with("store", &self.place)
    }
}

/// The pause before the server is asked again.
#[allow(clippy::disallowed_methods, reason = "a server that comes back tells nobody")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// The number of a town's lock; that of the schema's own is the one of the empty name.
fn lock_key(schema: &str, town: &str) -> i64 {
    let digest = Sha256::digest(format!("gastown\0{schema}\0{town}"));
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

fn check_server(line: &Line, access: Access) -> Result<()> {
    if line.encoding != "UTF8" {
        return Err(Error::unsupported(
            "store_encoding",
            format!("the database holds text in {}, not in UTF8", line.encoding),
        )
        .with("found", &line.encoding));
    }
    let rows = line.ask(Step::plain("SELECT current_setting('transaction_read_only')"))?;
    let is_read_only = rows.first().and_then(|row| row.try_get::<_, String>(0).ok()).is_some_and(|it| it == "on");
    if is_read_only && access == Access::Write {
        return Err(error::read_only());
    }
    Ok(())
}

fn check_version(found: &str) -> Result<()> {
    let major = found.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u32>().ok());
    if major.is_some_and(|major| major >= VERSION_MIN) {
        return Ok(());
    }
    Err(Error::unsupported("postgres_too_old", format!("Postgres {found} is too old, {VERSION_MIN} is needed"))
        .with("found", found)
        .with("needed", VERSION_MIN))
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresBackend({})", self.place)
    }
}

impl Backend for PostgresBackend {
    fn name(&self) -> &'static str {
        "postgres"
    }

    /// Opens one more connection.
    ///
    /// # Errors
    /// - `store_unreachable` ([`Unavailable`](crate::ErrorKind::Unavailable)): nobody answers there, or not now.
    /// - `store_denied` ([`Forbidden`](crate::ErrorKind::Forbidden)): the password is wrong, or the user may not.
    /// - `database_missing` ([`NotFound`](crate::ErrorKind::NotFound)).
    /// - `store_tls`: the certificate is not trusted, or the roots of trust cannot be read.
    /// - `store_read_only` ([`Forbidden`](crate::ErrorKind::Forbidden)): a replica, or a session that may only read.
    /// - `postgres_too_old`, `store_encoding` ([`Unsupported`](crate::ErrorKind::Unsupported)).
    /// - `not_a_town` ([`Corrupt`](crate::ErrorKind::Corrupt)): the schema is another program's.
    /// - `schema_altered` ([`Corrupt`](crate::ErrorKind::Corrupt)): it was made by other steps than the
    ///   published ones, or somebody took something of it; the fact `missing` names what.
    /// - `schema_newer` ([`Unsupported`](crate::ErrorKind::Unsupported)): a later version of the library wrote it; the
    ///   facts `found` and `known` are schema versions.
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>> {
        Ok(Box::new(PostgresConnection::open(self, access)?))
    }

    /// Listens on a connection of its own.
    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        Ok(Some(Box::new(PostgresChanges::open(self)?)))
    }

    fn readers(&self) -> Option<usize> {
        self.place.readers
    }

    fn is_transient(&self, error: &Error) -> bool {
        matches!(error.code(), "store_conflict" | "connection_lost" | "store_unreachable" | "store_busy")
    }
}

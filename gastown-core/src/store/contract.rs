//! The traits a backend implements.
//!
//! What holds for every verb, so that the verbs need not repeat it:
//!
//! - **Threads.** Calls are blocking. A connection, and the reader or transaction that it has, belongs to one thread at
//!   a time, not always to the same one. It has one reader or one transaction at a time.
//! - **Values.** A column is null, a 64-bit integer, or text: any Unicode text, NUL and the empty text included, byte for
//!   byte. A column that an index names holds at least 500 bytes, any other at least a megabyte; what a backend cannot hold
//!   it refuses, never shortens: with `row_too_big` ([`Exhausted`](crate::ErrorKind::Exhausted)) where a row or a key is
//!   longer than it can hold, with `values_refused` ([`Invalid`](crate::ErrorKind::Invalid)) where the columns are none
//!   of the table's. Columns that hold JSON hold its text.
//! - **Errors.** A verb that fails has changed nothing, and its transaction goes on, unless the backend lost it: then
//!   every later verb of it fails, [`Txn::commit`] with them. A refusal that the contract names has that code and kind.
//!   Everything else is [`Unavailable`](crate::ErrorKind::Unavailable) where trying again may help,
//!   [`Exhausted`](crate::ErrorKind::Exhausted) where space must be made, [`Corrupt`](crate::ErrorKind::Corrupt) where
//!   stored data is damaged. After an error of a commit or of beginning, and after a panic, the backend's own
//!   included, the store gives the connection up and opens another.
//! - **Cancellation.** There is none inside a verb. A caller that goes away is answered by nobody; its command is left out
//!   before it began, and done whole afterwards.
//! - **Repeats.** The store runs a command again from its beginning, in a new transaction or behind a savepoint, when
//!   another of its batch must be undone; nothing of the earlier run may be seen then. Every verb may be repeated: putting
//!   the same row twice is putting it once, deleting what is not there is nothing, closing is dropping.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::packed::Packed;
use super::scan::{Position, Scan, Tally};
use super::search::{self, Search};
use super::unreadable::Unreadable;
use crate::model::value::{Raw, Value};
use crate::model::{Error, Event, Head, Key, Result, Row, RowKind, TownId, WrittenEvent};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The writer's: there is one in a process.
    Write,
    /// A reader's: [`Connection::write`] is never called on it.
    Read,
}

/// A place where towns are kept.
///
/// # Contract
/// - One database may hold many towns; a transaction sees one of them.
/// - [`Backend::connect`] makes the schema where it is missing, migrates an older one, and refuses a newer one with
///   `schema_newer` ([`Unsupported`](crate::ErrorKind::Unsupported)), a file of another program with `not_a_town`
///   ([`Corrupt`](crate::ErrorKind::Corrupt)).
/// - Connections are independent, also those of two instances on one database and of two processes: what one commits,
///   every reader and transaction that begins afterwards sees.
/// - Several may connect to an empty database at once, readers too; one of them makes the schema.
/// - Where the schema is as it should be, connecting waits for no writer.
/// - What a database needs besides (a directory, a server) is there, or [`Backend::connect`] says what is missing with
///   `store_unreachable` ([`Unavailable`](crate::ErrorKind::Unavailable)) or `store_read_only`
///   ([`Forbidden`](crate::ErrorKind::Forbidden)).
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A short name for people and metrics: `sqlite`, `memory`.
    fn name(&self) -> &'static str;

    /// Opens one more connection.
    ///
    /// # Contract
    /// It may be asked at any time, from any thread, while others read and write. An error leaves nothing open, and the
    /// next call tries anew.
    fn connect(&self, access: Access) -> Result<Box<dyn Connection>>;

    /// Watches for commits of anybody; none where the backend cannot.
    ///
    /// # Contract
    /// It is asked after a connection was opened, and hears what is committed from then on.
    fn changes(&self) -> Result<Option<Box<dyn Changes>>> {
        Ok(None)
    }

    /// How many connections the place of the backend asks for that read, before
    /// [`StoreOptions::readers`](super::StoreOptions::readers); none where it says nothing.
    fn readers(&self) -> Option<usize> {
        None
    }

    /// Whether an error of a connection or a transaction may be gone when the whole is tried again soon.
    ///
    /// # Contract
    /// It is true only where nothing of the transaction is there, and none of it will be.
    fn is_transient(&self, error: &Error) -> bool {
        matches!(error.code(), "store_conflict" | "connection_lost")
    }
}

/// A watch for commits, by whichever connection, store or process.
pub trait Changes: Send {
    /// Waits until something may have been committed, at most `timeout`; true where it may have been.
    ///
    /// # Contract
    /// - A commit that appended to the journal, of any town of the database, ends a wait once it can be read. Several
    ///   commits may end one wait; one that came between two waits ends the second at once.
    /// - It may be true without a commit. It may miss one whose process died meanwhile: callers look now and then.
    fn wait(&mut self, timeout: Duration) -> Result<bool>;

    /// Where the journal of `town` ends, as a reader that begins now sees it; none where the watch cannot tell, and
    /// then a connection is asked.
    ///
    /// # Contract
    /// What ends a wait ends this as well, with an error.
    fn head(&mut self, town: &TownId) -> Result<Option<u64>> {
        let _ = town;
        Ok(None)
    }

    /// What ends the present wait at once, and every later one, when it is woken.
    ///
    /// # Contract
    /// It may be woken from any thread, more than once, and after the watch is gone. Once it was woken, nothing of the
    /// watch outlives the watch, also where the waker does.
    fn interrupter(&self) -> Waker;
}

/// One connection: blocking, used by one thread at a time.
pub trait Connection: Send {
    /// Begins a read snapshot of one town.
    ///
    /// # Contract
    /// - Everything read from it, rows, counts and entries, is of the moment this was called, whatever is committed
    ///   meanwhile and however long it lives: nothing uncommitted, no row twice with two contents, no new one in a scan.
    /// - It never waits for a writer, and no writer waits for it.
    /// - A town that was never written to is empty; reading makes nothing.
    fn read(&mut self, town: &TownId) -> Result<Box<dyn Reader + '_>>;

    /// Begins the write transaction of one town.
    ///
    /// # Contract
    /// - There is at most one at a time for a town over all connections and processes; others wait, with a bound, then
    ///   get `store_busy` ([`Unavailable`](crate::ErrorKind::Unavailable)).
    /// - It sees everything that was committed before it began, and its own changes.
    /// - Dropped without a commit, or with its process, it leaves nothing, and the town is free.
    /// - Whether transactions of two towns wait for each other is the backend's affair.
    /// - A reader's connection refuses it with `store_access` ([`Internal`](crate::ErrorKind::Internal)).
    fn write(&mut self, town: &TownId) -> Result<Box<dyn Txn + '_>>;

    /// Names the towns of the database in the order of their names, the first `limit` of them; none where the backend
    /// cannot tell.
    ///
    /// # Contract
    /// A town is there once its row ([`RowKind::Town`](crate::model::RowKind::Town)) was committed. It waits for no
    /// writer.
    fn towns(&mut self, limit: usize) -> Result<Option<Vec<TownId>>> {
        let _ = limit;
        Ok(None)
    }

    /// Says how the database is kept.
    fn describe(&mut self) -> Result<Description> {
        Ok(Description::default())
    }

    /// Looks for damage in the backend's own structures: each finding is a sentence, none means that all is well.
    ///
    /// # Contract
    /// It sees every town of the database, changes nothing, and may take as long as reading all of it. What the rows
    /// say is not its subject.
    fn check(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Gives back the space of what was deleted.
    ///
    /// # Contract
    /// Only asked of a writer's connection. Others may have to wait; nothing that can be read changes.
    fn vacuum(&mut self) -> Result<()> {
        Ok(())
    }

    /// Copies the database as it is at one moment into a new file; false where the backend has no such file.
    ///
    /// # Contract
    /// - Nobody waits for it: commands and reads go on.
    /// - When it returns true, `path` is durable and whole and opens as a database of this backend; when it fails,
    ///   nothing is at `path`. A file that is there already is refused with `backup_exists`
    ///   ([`Conflict`](crate::ErrorKind::Conflict)).
    fn copy_to(&mut self, path: &Path) -> Result<bool> {
        let _ = path;
        Ok(false)
    }
}

/// How a database is kept, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The version of its schema; 0 where it has none.
    pub schema: u32,
    /// What survives a commit: `full`, `normal`, or `none` where nothing does.
    pub durability: &'static str,
    /// Its size in bytes, where that is known.
    pub bytes: Option<u64>,
    /// What keeps commands from being done at all, in words; none where nothing is known of such a thing.
    pub problem: Option<String>,
}

impl Description {
    /// A description without a size.
    pub const fn new(schema: u32, durability: &'static str) -> Self {
        Self { schema, durability, bytes: None, problem: None }
    }

    /// The same with a size in bytes.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }
}

/// One town at one moment.
pub trait Reader {
    /// The row of this key.
    ///
    /// # Contract
    /// None where no such row is in this town. A row that is there and cannot be read as its kind is the error of
    /// [`Unreadable::into_error`], and is told by [`Reader::unreadable`]. Keys are equal by their bytes: case and normal
    /// form make two.
    fn get(&self, key: &Key) -> Result<Option<Row>>;

    /// The same row, which a reader that keeps it need not copy.
    fn get_shared(&self, key: &Key) -> Result<Option<Arc<Row>>> {
        Ok(self.get(key)?.map(Arc::new))
    }

    /// Rows of one index, in its order.
    ///
    /// # Contract
    /// - Order: by the order columns, null before numbers before text, text by its UTF-8 bytes.
    /// - The rows are those whose conditions hold and whose prefix columns equal the scan's, null equal to null.
    /// - `after` need not be a row that is there still; entries behind it are returned, each once. So a row that stays
    ///   where it is is met once by whoever reads by pages, whatever others come, go or move.
    /// - `upto` is included. A limit of 0 gives nothing, one beyond all rows gives them all.
    /// - [`Scan::check`] refuses what does not fit: every backend asks it first.
    /// - The cost follows the rows returned, not the table.
    /// - A row that cannot be read as its kind stops nobody: it is left out, takes nothing of the limit, and is told by
    ///   [`Reader::unreadable`].
    fn scan(&self, scan: &Scan) -> Result<Vec<Row>>;

    /// The same rows as they are stored, for whoever reads many and keeps none.
    ///
    /// The default packs what [`Reader::scan`] gives; a backend may spare itself the reading of each value.
    ///
    /// # Contract
    /// What holds for [`Reader::scan`] holds here, but that a row with a value which is none of its column may be among
    /// them, and then takes its place in the limit: whoever meets it asks for it with [`Reader::get`], which tells of it.
    fn scan_packed(&self, scan: &Scan) -> Result<Packed> {
        Ok(Packed::of(scan.index.kind, &self.scan(scan)?))
    }

    /// What is stored under this key, column by column in the order of the kind's, whether or not it makes a row.
    ///
    /// # Contract
    /// - None where no such row is in this town. What was put comes back as it was put, what [`Txn::put_values`] stored
    ///   too. What damage or another program left that is no [`Value`] comes back as its bytes.
    /// - It is no attempt to read the row: [`Reader::unreadable`] tells nothing of it.
    fn values(&self, key: &Key) -> Result<Option<Vec<Raw>>>;

    /// Rows of one index from its end: those that the scan would give without its limit, the last of them first, and
    /// behind `before` in that direction; at most so many as the scan's limit.
    ///
    /// The default walks the index from its beginning; a backend may do better.
    ///
    /// # Contract
    /// - What holds for [`Reader::scan`] holds here: `after` and `upto` are the bounds of the scan, and a row that cannot
    ///   be read takes nothing of the limit.
    /// - `before` need not be a row that is there still. [`Scan::check_place`] refuses one that is not of the index.
    /// - A backend that does better has the cost follow the rows returned.
    fn scan_back(&self, scan: &Scan, before: Option<&Position>) -> Result<Vec<Row>> {
        scan.check_place(before)?;
        let mut page = Scan { limit: 1_000, ..scan.clone() };
        let mut last = VecDeque::new();
        loop {
            let rows = self.scan(&page)?;
            let is_full = rows.len() == page.limit;
            for row in rows {
                let place = Position::of(scan.index, &row);
                if before.is_some_and(|before| place >= *before) {
                    return Ok(last.into_iter().rev().collect());
                }
                page.after = Some(place);
                last.push_back(row);
                if last.len() > scan.limit {
                    last.pop_front();
                }
            }
            if !is_full {
                return Ok(last.into_iter().rev().collect());
            }
        }
    }

    /// Tells which rows this reader met and could not read, those that scans left out and those that were wanted by
    /// their key, and forgets them.
    ///
    /// # Contract
    /// Each once, at most [`UNREADABLE_MAX`](super::UNREADABLE_MAX); [`UnreadableRows`](super::UnreadableRows) does that.
    fn unreadable(&self) -> Vec<Unreadable>;

    /// Where the journal ends: the last entry's number and hash, the default where there is none.
    ///
    /// # Contract
    /// It is of the same moment as everything else, and in a transaction it counts what was appended there.
    fn head(&self) -> Result<Head>;

    /// Events with a `seq` greater than `after`, in order, at most `limit`.
    ///
    /// # Contract
    /// - Order is by `seq` alone, not by time. Entries come back as they were appended, to the byte of their hash:
    ///   tables, columns, kinds and form versions that nobody here knows included.
    /// - What [`Txn::truncate_events`] removed is left out; the others have no gap.
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>>;

    /// How many rows a scan without its limit would give.
    ///
    /// The default walks the index; a backend may do better. Rows that cannot be read may be counted or not.
    fn count(&self, scan: &Scan) -> Result<u64> {
        let mut scan = Scan { limit: 1_000, ..scan.clone() };
        let mut count = 0;
        loop {
            let rows = self.scan(&scan)?;
            count += rows.len() as u64;
            match rows.last() {
                Some(last) if rows.len() == scan.limit => scan.after = Some(Position::of(scan.index, last)),
                _ => return Ok(count),
            }
        }
    }

    /// How many of the rows that a scan would give without its limit have each combination of these columns' values.
    ///
    /// The default walks the index; a backend may do better. Rows that cannot be read may be counted or not.
    ///
    /// # Contract
    /// Each combination comes once, in any order. There are at most as many as the scan's limit, whichever.
    fn tally(&self, scan: &Scan, columns: &[&'static str]) -> Result<Tally> {
        let places: Vec<usize> = columns.iter().map(|name| scan.index.place(name)).collect();
        let (mut found, combinations_max) = (Tally::new(), scan.limit);
        let mut scan = Scan { limit: 1_000, ..scan.clone() };
        loop {
            let rows = self.scan(&scan)?;
            for row in &rows {
                let values = row.to_values();
                let combination = places.iter().map(|place| values[*place].clone()).collect();
                if found.len() < combinations_max || found.contains_key(&combination) {
                    *found.entry(combination).or_default() += 1;
                }
            }
            match rows.last() {
                Some(last) if rows.len() == scan.limit => scan.after = Some(Position::of(scan.index, last)),
                _ => return Ok(found),
            }
        }
    }

    /// Beads that may hold all the words of a search, the newest first: by when they were made, then by id, both down.
    ///
    /// The default looks at every bead; a backend may do better.
    ///
    /// # Contract
    /// - Every bead of this town behind `after` that holds every word ([`search::words`](super::search::words)) is
    ///   answered in its turn; others may be, as the library looks at the words of each. So an index that is coarser
    ///   than the words will do, and one that still has words of what was.
    /// - Texts that cannot be read hold no words. A bead that cannot be read is left out, as in a scan.
    /// - A limit of 0 gives nothing. Fewer than the limit are answered only where there are no more.
    /// - [`Search::check`] refuses what is no search: every backend asks it first.
    fn search(&self, search: &Search) -> Result<Vec<Row>> {
        search::by_scan(self, search)
    }

    /// Events about one subject with a `seq` greater than `after`, in order, at most `limit`.
    ///
    /// The default looks at every event behind `after`; a backend may do better.
    ///
    /// # Contract
    /// They are those of [`Reader::events`] whose subject is this very text.
    fn events_of(&self, subject: &str, after: u64, limit: usize) -> Result<Vec<Event>> {
        let (mut after, mut found) = (after, Vec::new());
        while found.len() < limit {
            let events = self.events(after, 500)?;
            let Some(last) = events.last() else { break };
            after = last.seq;
            let wanted = limit - found.len();
            found.extend(events.into_iter().filter(|event| event.subject == subject).take(wanted));
        }
        Ok(found)
    }
}

/// One write transaction of one town.
///
/// Every read sees its own changes so far. Nobody else sees any of them before [`Txn::commit`], and then all at once.
pub trait Txn: Reader {
    /// Inserts the row or replaces the one of its key.
    ///
    /// # Contract
    /// The row is in every index whose conditions hold for it, and in no other. Rows need no others: neither the bead of a
    /// label nor the ends of an edge must be there.
    fn put(&mut self, row: &Row) -> Result<()>;

    /// Replaces `before`, which this transaction holds under its key, by `after` of the same key.
    ///
    /// # Contract
    /// It leaves what [`Txn::put`] of `after` leaves; a backend may spare itself the columns that are equal. Where
    /// `before` is not there after all, `after` is inserted.
    fn replace(&mut self, before: &Row, after: &Row) -> Result<()> {
        let _ = before;
        self.put(after)
    }

    /// Does what [`Txn::replace`] does where there is a `before`, and else what [`Txn::put`] does; a backend that keeps
    /// rows at hand need not copy this one.
    fn put_shared(&mut self, before: Option<&Row>, row: &Arc<Row>) -> Result<()> {
        match before {
            Some(before) => self.replace(before, row),
            None => self.put(row),
        }
    }

    /// Puts many rows that are new, in any order among those of different tables.
    ///
    /// The default puts one after the other; a backend may do better.
    ///
    /// # Contract
    /// No row has the key of another one of them or of one that is there. Where it fails, the transaction may be lost.
    fn put_new(&mut self, rows: &[Arc<Row>]) -> Result<()> {
        rows.iter().try_for_each(|row| self.put_shared(None, row))
    }

    /// Stores columns under their key as they are, also where they make no row of the kind.
    ///
    /// # Contract
    /// `values` has a value for each column, the key's first and not null; another number is refused with
    /// `values_malformed` ([`Internal`](crate::ErrorKind::Internal)). What makes a row is as if it had been put. What
    /// makes none is stored where the backend can hold it at all, else refused with `values_refused`
    /// ([`Invalid`](crate::ErrorKind::Invalid)), or `row_too_big` where it is too long, and stands in every index whose conditions hold.
    ///
    /// Nothing but restoring and the conformance kit, which plants damage with it, asks this.
    fn put_values(&mut self, kind: RowKind, values: &[Value]) -> Result<()>;

    /// Removes the row of this key, readable or not; nothing where there is none.
    ///
    /// # Contract
    /// No other row goes with it.
    fn delete(&mut self, key: &Key) -> Result<()>;

    /// Appends entries to the journal.
    ///
    /// # Contract
    /// The first has the `seq` behind [`Reader::head`], the others follow without a gap; anything else is refused with
    /// `event_order` ([`Internal`](crate::ErrorKind::Internal)) and changes nothing. An empty journal may begin with any
    /// `seq` but 0: that of a restored town does where its beginning was archived.
    fn append(&mut self, events: &[Event]) -> Result<()>;

    /// Appends entries of which a part is text already.
    ///
    /// # Contract
    /// It does what [`Txn::append`] does with what [`WrittenEvent::parse`] gives; a backend that stores text may spare
    /// itself the parsing.
    fn append_written(&mut self, events: &[WrittenEvent]) -> Result<()> {
        let events = events.iter().map(WrittenEvent::parse).collect::<Result<Vec<_>>>()?;
        self.append(&events)
    }

    /// Removes the entries of the journal up to this `seq`, which were kept elsewhere before.
    ///
    /// # Contract
    /// The last entry stays, so that [`Reader::head`] does: a `through` that is not before it is refused with
    /// `event_order` ([`Internal`](crate::ErrorKind::Internal)). Savepoints undo it.
    fn truncate_events(&mut self, through: u64) -> Result<()>;

    /// Marks a place to return to, replacing an earlier mark.
    ///
    /// # Contract
    /// It ends with its transaction. There may be any number of them in one.
    fn savepoint(&mut self) -> Result<()>;

    /// Undoes everything since the mark, the journal's end included; the mark stays.
    ///
    /// # Contract
    /// Rows, every index and the journal are as they were; returning again is allowed. Without a mark it is refused with
    /// `savepoint_missing` ([`Internal`](crate::ErrorKind::Internal)) and changes nothing.
    fn rollback_to_savepoint(&mut self) -> Result<()>;

    /// Carries out what was put off.
    ///
    /// # Contract
    /// A backend may put changes off until something is read, marked, flushed or committed; then their error is that
    /// call's. What was carried out by a flush cannot fail later, except with the whole transaction.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// From now on a read may be answered by what is likely, where the truth would have to be waited for.
    ///
    /// # Contract
    /// The store asks it at the beginning of a batch, and [`Txn::confirm`] before anything of the batch is answered,
    /// committed or taken for an error. A backend that guesses nothing, which is the default, has nothing to do.
    fn guess(&mut self) -> Result<()> {
        Ok(())
    }

    /// Ends the guessing, and says whether every answer since [`Txn::guess`] was true.
    ///
    /// # Contract
    /// Where it says no, everything since then is undone, rows and journal, and the store runs the batch again, at last
    /// without guesses. Each time the backend knows more: it does not guess wrong about the same row again.
    fn confirm(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// The error that ended the transaction before its time, where one did: it can only be rolled back, whole or to its
    /// savepoint.
    ///
    /// # Contract
    /// After a rollback to a savepoint that succeeded there is none.
    fn spoilt(&self) -> Option<Error> {
        None
    }

    /// Makes everything durable, in the backend's mode, and ends the transaction.
    ///
    /// # Contract
    /// - When it returns `Ok`, the changes survive a crash (`full`: also of the machine), and whoever begins to read
    ///   afterwards, anywhere, sees them.
    /// - When it returns an error, none of them is there. There are two exceptions: `commit_unknown`
    ///   ([`Unavailable`](crate::ErrorKind::Unavailable)), by which a backend says that it could not find out, and which
    ///   the store answers where `commit` panicked; and a disk that failed to flush: when its power is lost then, or the
    ///   process is killed before the backend wrote over them, the changes may be back. Idempotency keys are for both.
    /// - An error with the fact `put_off` is of a change that was put off, not of the commit.
    /// - A transaction without changes may be committed as well.
    /// - Where entries were appended, every watch of [`Backend::changes`] is woken once they can be read.
    fn commit(self: Box<Self>) -> Result<()>;

    /// The transaction as a reader.
    fn as_reader(&self) -> &dyn Reader;
}

/// Refuses columns that are not of a kind's number or lack a key; every backend asks this before [`Txn::put_values`].
///
/// # Errors
/// `values_malformed` ([`Internal`](crate::ErrorKind::Internal)).
pub fn check_values(kind: RowKind, values: &[Value]) -> Result<()> {
    if values.len() == kind.columns().len() && !values[..kind.key_len()].contains(&Value::Null) {
        return Ok(());
    }
    Err(Error::internal("values_malformed", format!("these are not the columns of {}", kind.table()))
        .with("table", kind.table()))
}

/// Refuses a truncation that would take the journal's end; every backend asks this before [`Txn::truncate_events`].
///
/// # Errors
/// `event_order` ([`Internal`](crate::ErrorKind::Internal)).
pub fn check_truncation(head: &Head, through: u64) -> Result<()> {
    if through < head.seq || through == 0 {
        return Ok(());
    }
    Err(Error::internal(
        "event_order",
        format!("the journal keeps its last event, {}, so {through} is too far", head.seq),
    )
    .with("seq", through)
    .with("head", head.seq))
}

/// Refuses entries that do not follow `head` without a gap; every backend asks this before it appends.
///
/// # Errors
/// `event_order` ([`Internal`](crate::ErrorKind::Internal)).
pub fn check_order<'e>(head: &Head, events: impl IntoIterator<Item = &'e Event>) -> Result<()> {
    let mut events = events.into_iter().peekable();
    let first = match events.peek() {
        Some(event) if head.seq == 0 && event.seq > 0 => event.seq,
        _ => head.seq + 1,
    };
    for (wanted, event) in (first..).zip(events) {
        if event.seq != wanted {
            return Err(Error::internal(
                "event_order",
                format!("event {} was appended where {wanted} follows", event.seq),
            )
            .with("seq", event.seq)
            .with("wanted", wanted));
        }
    }
    Ok(())
}

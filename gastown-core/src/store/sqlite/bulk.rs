//! Many new rows at once.
//!
//! The triggers by which words come into their index cost a bead as much as its row: with each row that has some, SQLite
//! keeps a copy of every page that it changes, in case that the trigger fails. So many beads are inserted without them, and
//! their words are indexed together.

use std::sync::Arc;

use rusqlite::config::DbConfig;

use super::connection::{View, run};
use super::error::of_sqlite;
use super::sql;
use super::statements::Which;
use crate::model::{Result, Row, RowKind};

/// From so many beads on: without the triggers every statement is prepared anew, and once more with them.
const BEADS_MIN: usize = 200;

impl View<'_> {
    /// Inserts new rows. Where it fails, the transaction is undone.
    pub(super) fn insert_new(&self, rows: &[Arc<Row>]) -> Result<()> {
        self.insert_in_turn(rows).inspect_err(|_| {
            if let Err(error) = run(self.db, "ROLLBACK") {
                // It was undone by whatever went wrong, or is when the view is dropped.
                tracing::debug!(code = error.code(), "a transaction could not be ended: {}", error.chain());
            }
        })
    }

    fn insert_in_turn(&self, rows: &[Arc<Row>]) -> Result<()> {
        let beads = rows.iter().filter(|row| row.kind() == RowKind::Bead).count();
        if beads < BEADS_MIN || !self.may_index_later()? {
            return self.insert_each(rows);
        }
        let triggers = WithoutTriggers::begin(self.db)?;
        self.insert_each(rows)?;
        run(self.db, sql::INDEX_NEW_WORDS)?;
        run(self.db, sql::MARK_WORDS)?;
        triggers.end()
    }

    /// Whether new beads get numbers behind those whose words are indexed, and the triggers are all of ours.
    fn may_index_later(&self) -> Result<bool> {
        let found = self.db.prepare_cached(sql::MAY_INDEX_LATER);
        let found = found.and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<bool>>(0)));
        found.map(Option::unwrap_or_default).map_err(|source| self.refused(source))
    }

    /// A table after the other, as each keeps its statement and its pages at hand.
    fn insert_each(&self, rows: &[Arc<Row>]) -> Result<()> {
        let mut left = rows.len();
        for kind in RowKind::ALL.iter().copied() {
            if left == 0 {
                break;
            }
            for row in rows.iter().filter(|row| row.kind() == kind) {
                left -= 1;
                row.with_cells(|cells| -> Result<()> {
                    self.execute(Which::Insert(kind), || &sql::statements(kind).insert, cells)?;
                    // A bead is soon asked for again, by those that wait for it.
                    self.note(row.key(), (kind == RowKind::Bead).then_some((row, cells)));
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// Has no trigger fire while it lives.
struct WithoutTriggers<'c> {
    db: &'c rusqlite::Connection,
}

impl<'c> WithoutTriggers<'c> {
    fn begin(db: &'c rusqlite::Connection) -> Result<Self> {
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(of_sqlite)?;
        Ok(Self { db })
    }

    fn end(self) -> Result<()> {
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).map(drop).map_err(of_sqlite)
    }
}

impl Drop for WithoutTriggers<'_> {
    fn drop(&mut self) {
        // After `end` it changes nothing.
        if let Err(error) = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true) {
            tracing::error!(%error, "the triggers of a connection stay off");
        }
    }
}

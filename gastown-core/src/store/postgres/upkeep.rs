//! What is done with the whole schema.

use super::line::{Line, Step};
use super::text::Parameter;
use super::url::Place;
use super::{schema, shape};
use crate::model::{Error, Result, RowKind, TownId};
use crate::store::Description;

const BYTES: &str = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'";

/// Needs the extension amcheck, which only some servers have and only some users may use.
const CHECKER: &str = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'amcheck'";

const INDEXES: &str = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_am a ON a.oid = c.relam \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'i' AND a.amname = 'btree'";

fn tables() -> impl Iterator<Item = &'static str> {
    ["migration", "commit_mark", "event"].into_iter().chain(RowKind::ALL.iter().map(|kind| kind.table()))
}

fn first<T: tokio_postgres::types::FromSqlOwned>(rows: &[tokio_postgres::Row]) -> Result<Option<T>> {
    rows.first()
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(|source| Error::internal("store_postgres", "the server answered something else").because(source))
}

/// The towns of the schema.
pub(super) fn towns(line: &Line, limit: usize) -> Result<Vec<TownId>> {
    let asked = Step::new(
        "SELECT town_id FROM town WHERE id = town_id ORDER BY town_id LIMIT $1",
        vec![Parameter::count(limit as u64)],
    );
    // One that no town of ours can be called is somebody's own.
    Ok(line.ask(asked)?.iter().filter_map(|row| TownId::new(row.try_get::<_, String>(0).ok()?).ok()).collect())
}

/// How the schema is kept.
pub(super) fn describe(line: &Line, place: &Place) -> Result<Description> {
    let bytes: i64 = first(&line.ask(Step::plain(BYTES))?)?.unwrap_or_default();
    let version = u32::try_from(schema::VERSION).unwrap_or(u32::MAX);
    let durability = if place.is_durable { "full" } else { "normal" };
    Ok(Description::new(version, durability).with_bytes(bytes.unsigned_abs()))
}

/// Says what of the schema is missing, reads every page of every table, and holds the indexes against them where the server has what that needs.
pub(super) fn check(line: &Line) -> Result<Vec<String>> {
    let (mut findings, there) = (shape::differences(line)?, shape::names(line)?);
    let mut look = |sql: String, what: &str| match line.ask_long(&Step::new(sql, Vec::new())) {
        // A mistake of the server's own, too: what it stumbles over while it reads its pages is damage.
        Err(error) if error.code() == "store_corrupt" || error.fact("sqlstate") == Some("XX000") => {
            findings.push(format!("{what}: {}", error.chain()));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    };
    for table in tables().filter(|&table| there.contains(table)) {
        look(format!("SELECT count(octet_length(t::text)) FROM {table} t"), table)?;
    }
    let checker: Option<String> = first(&line.ask(Step::plain(CHECKER))?)?;
    if let Some(checker) = checker {
        for row in line.ask(Step::plain(INDEXES))? {
            let index: String = row.get(0);
            match look(format!("SELECT {checker}.bt_index_check('{index}'::regclass, true)"), &index) {
                // This user may not.
                Err(error) if error.code() == "store_denied" => break,
                other => other?,
            }
        }
    }
    Ok(findings)
}

/// Lets the server use the space again, and learn anew how the tables are filled.
pub(super) fn vacuum(line: &Line) -> Result<()> {
    tables().try_for_each(|table| line.ask_long(&Step::new(format!("VACUUM (ANALYZE) {table}"), Vec::new())).map(drop))
}

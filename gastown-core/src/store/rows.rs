//! The rows that a writer's connection knows; for backends that have them elsewhere.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::mem;
use std::sync::Arc;

use crate::model::value::{Cell, Value};
use crate::model::{Head, Key, Row, RowKind, TownId};
use crate::store::index::{INDEXES, Index};
use crate::store::{Position, Scan};

/// What a row costs beside its texts, in bytes.
const ROW_BYTES: usize = 512;
/// The longest list that is kept.
pub(super) const LIST_MAX: usize = 16;
/// The most keys that are remembered of one transaction, which then goes on without this.
const TOUCHED_MAX: usize = 10_000;

/// Rows as the database holds them, so that commands about the same beads do not read them again and again.
///
/// Invariant: between two transactions it holds only what was committed, and it is emptied when anybody else has
/// committed since; within one, it holds what the transaction would read.
#[derive(Debug)]
pub(super) struct Rows {
    /// Whose they are, and a number that changes whenever anybody else commits.
    of: Option<(TownId, i64)>,
    /// None where there is no row of that key.
    single: Recent<Key, Option<Arc<Row>>>,
    /// Short lists of an index whose prefix is a part of the key, such as the labels of one bead.
    lists: Recent<(&'static str, Vec<Value>), Vec<Row>>,
    /// Whether a table holds nothing of the town, by the number of its kind, where that is known.
    is_empty: [Option<bool>; RowKind::ALL.len()],
    head: Option<Head>,
    /// What the present transaction wrote, also where it took that back.
    touched: Vec<Key>,
    /// Whether the present transaction wrote too much to be followed: then nothing is kept until it ends.
    is_lost: bool,
}

/// What is known of a row.
#[cfg(any(feature = "sqlite", feature = "postgres", test))]
pub(super) enum Known<'r> {
    Not,
    Absent,
    There(&'r Arc<Row>),
}

impl Rows {
    /// Keeps about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let (single, lists) = (Recent::new(bytes - bytes / 4), Recent::new(bytes / 4));
        let is_empty = [None; RowKind::ALL.len()];
        Self { of: None, single, lists, is_empty, head: None, touched: Vec::new(), is_lost: false }
    }

    /// Begins a transaction of a town; `version` changes whenever anybody else commits.
    pub(super) fn begin(&mut self, town: &TownId, version: i64) -> Option<Head> {
        self.end();
        if self.of.as_ref().is_none_or(|(of, known)| of != town || *known != version) {
            self.clear();
            self.of = Some((town.clone(), version));
        }
        self.head.clone()
    }

    /// What was written is there to stay.
    pub(super) fn commit(&mut self, head: Option<Head>) {
        self.touched.clear();
        self.is_lost = false;
        self.head = head;
    }

    /// A part of what was written since the transaction began is gone.
    ///
    /// The rest of it is still there for the transaction, which may read it again and be dropped, so all of it stays
    /// touched.
    pub(super) fn undo(&mut self) {
        let touched = mem::take(&mut self.touched);
        for key in &touched {
            self.forget(key);
        }
        self.touched = touched;
        if self.is_lost {
            // Nobody knows any more which tables it wrote to.
            self.is_empty = [None; RowKind::ALL.len()];
        }
    }

    /// The transaction ended, and what it wrote is gone unless it was committed.
    pub(super) fn end(&mut self) {
        self.undo();
        self.touched.clear();
        self.is_lost = false;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.single.clear();
        self.lists.clear();
        self.is_empty = [None; RowKind::ALL.len()];
        self.head = None;
        self.of = None;
    }

    /// The same, after a commit that changed the number of commits to this one.
    #[cfg(feature = "postgres")]
    pub(super) fn commit_as(&mut self, version: i64) {
        self.commit(None);
        if let Some((_, known)) = &mut self.of {
            *known = version;
        }
    }

    /// The row of a key, or that there is none, where that is known.
    #[cfg(any(feature = "sqlite", feature = "postgres", test))]
    pub(super) fn known(&mut self, key: &Key) -> Known<'_> {
        match self.single.get(key) {
            None if self.is_empty[key.kind as usize] == Some(true) => Known::Absent,
            None => Known::Not,
            Some(None) => Known::Absent,
            Some(Some(row)) => Known::There(row),
        }
    }

    /// Whether the town has no row of that kind, where that is known.
    #[cfg(any(feature = "sqlite", test))]
    pub(super) const fn is_empty(&self, kind: RowKind) -> Option<bool> {
        self.is_empty[kind as usize]
    }

    /// Keeps whether the town has no row of that kind.
    #[cfg(any(feature = "sqlite", test))]
    pub(super) const fn keep_empty(&mut self, kind: RowKind, is_empty: bool) {
        self.is_empty[kind as usize] = Some(is_empty);
    }

    /// Keeps that there is no row of that key.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn keep_absent(&mut self, key: &Key) {
        if key.kind != RowKind::Idempotency && !self.is_lost {
            self.single.keep(key.clone(), None, ROW_BYTES);
        }
    }

    /// Whether a list that is asked for may be kept.
    #[cfg(feature = "postgres")]
    pub(super) fn may_keep(scan: &Scan) -> bool {
        scan.after.is_none() && scan.upto.is_none() && scan.limit > LIST_MAX && is_listed(scan.index)
    }

    /// Keeps a row that was read.
    pub(super) fn keep(&mut self, key: &Key, row: &Arc<Row>) {
        if key.kind != RowKind::Idempotency && !self.is_lost {
            self.single.keep(key.clone(), Some(Arc::clone(row)), row.with_cells(weight));
        }
    }

    /// A row was written; none where it was removed, or nobody knows what is there now.
    pub(super) fn write(&mut self, key: Key, row: Option<(&Arc<Row>, &[Cell<'_>])>) {
        // Where it was removed others may be left; who wants to know looks again.
        self.is_empty[key.kind as usize] = Some(false);
        if self.is_lost {
            return;
        }
        if self.touched.len() == TOUCHED_MAX {
            self.single.clear();
            self.lists.clear();
            self.touched = Vec::new();
            self.is_lost = true;
            return;
        }
        match row {
            Some((row, cells)) if key.kind != RowKind::Idempotency => {
                self.single.keep(key.clone(), Some(Arc::clone(row)), weight(cells));
            }
            _ => self.single.forget(&key),
        }
        self.forget_lists(&key);
        self.touched.push(key);
    }

    fn forget(&mut self, key: &Key) {
        self.single.forget(key);
        self.is_empty[key.kind as usize] = None;
        self.forget_lists(key);
    }

    fn forget_lists(&mut self, key: &Key) {
        if !matches!(key.kind, RowKind::Label | RowKind::Dependency) {
            return;
        }
        for index in INDEXES.iter().filter(|index| index.kind == key.kind && is_listed(index)) {
            let prefix = index.prefix.iter().map(|name| key.values[index.place(name)].clone()).collect();
            self.lists.forget(&(index.name, prefix));
        }
    }

    /// What a scan asks for, where the whole list is known that it is a part of.
    pub(super) fn list(&mut self, scan: &Scan) -> Option<Vec<Row>> {
        if self.is_empty[scan.index.kind as usize] == Some(true) {
            return Some(Vec::new());
        }
        if !is_listed(scan.index) {
            return None;
        }
        let whole = self.lists.get(&(scan.index.name, scan.prefix.clone()))?;
        let is_wanted = |row: &&Row| {
            let place = Position::of(scan.index, row);
            scan.after.as_ref().is_none_or(|after| place > *after)
                && scan.upto.as_ref().is_none_or(|upto| place.0[0] <= *upto)
        };
        Some(whole.iter().filter(is_wanted).take(scan.limit).cloned().collect())
    }

    /// Keeps the whole list that a scan found.
    pub(super) fn keep_list(&mut self, scan: &Scan, rows: &[Row]) {
        let is_whole = scan.after.is_none() && scan.upto.is_none() && rows.len() < scan.limit;
        if is_whole && !self.is_lost && rows.len() <= LIST_MAX && is_listed(scan.index) {
            let weight = ROW_BYTES + rows.iter().map(|row| row.with_cells(weight)).sum::<usize>();
            self.lists.keep((scan.index.name, scan.prefix.clone()), rows.to_vec(), weight);
        }
    }
}

/// Whether a row's key tells which of the index's lists it is in.
fn is_listed(index: &Index) -> bool {
    matches!(index.kind, RowKind::Label | RowKind::Dependency)
        && index.conditions.is_empty()
        && !index.prefix.is_empty()
        && index.prefix.iter().all(|name| index.place(name) < index.kind.key_len())
}

fn weight(cells: &[Cell<'_>]) -> usize {
    ROW_BYTES + cells.iter().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 }).sum::<usize>()
}

/// What was used lately: when half of the room was used in one round, what was used in none but earlier ones goes, and
/// the next round begins.
#[derive(Debug)]
struct Recent<K, V> {
    kept: HashMap<K, Kept<V>, BuildHasherDefault<Quick>>,
    round: u64,
    /// Of what was used in this round.
    weight: usize,
    weight_max: usize,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    weight: usize,
    /// The round in which it was last used.
    round: u64,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    fn new(weight_max: usize) -> Self {
        Self { kept: HashMap::default(), round: 0, weight: 0, weight_max }
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        let kept = self.kept.get_mut(key)?;
        if kept.round < self.round {
            let weight = kept.weight;
            let is_full = self.weight + weight > self.weight_max / 2;
            kept.round = self.round + u64::from(is_full);
            if is_full {
                self.begin_round();
            }
            self.weight += weight;
        }
        self.kept.get(key).map(|kept| &kept.value)
    }

    fn keep(&mut self, key: K, value: V, weight: usize) {
        if weight > self.weight_max / 4 {
            self.forget(&key);
            return;
        }
        if self.weight + weight > self.weight_max / 2 {
            self.begin_round();
        }
        let replaced = self.kept.insert(key, Kept { value, weight, round: self.round });
        self.weight += weight;
        self.uncount(replaced);
    }

    fn begin_round(&mut self) {
        let round = self.round;
        self.kept.retain(|_, kept| kept.round >= round);
        self.round += 1;
        self.weight = 0;
    }

    fn forget(&mut self, key: &K) {
        let forgotten = self.kept.remove(key);
        self.uncount(forgotten);
    }

    fn uncount(&mut self, gone: Option<Kept<V>>) {
        if let Some(gone) = gone.filter(|gone| gone.round == self.round) {
            self.weight -= gone.weight;
        }
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.weight = 0;
    }
}

/// A hash that is quick for short keys. Keys that are made to collide make a bounded number of rows slow to find.
#[derive(Default)]
struct Quick(u64);

impl Quick {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, byte: u8) {
        self.mix(byte.into());
    }
    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }
    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
    fn write_isize(&mut self, word: isize) {
        self.mix(word.cast_unsigned() as u64);
    }
    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BeadId, LabelRow};

    #[test]
    fn what_was_used_lately_stays_within_its_room() {
        let mut recent: Recent<u64, ()> = Recent::new(1_000);
        let weight = |recent: &Recent<u64, ()>| recent.kept.values().map(|kept| kept.weight).sum::<usize>();
        for known in (0..50).map(|round| round * 5) {
            for n in known..known + 5 {
                recent.keep(n, (), 30 + usize::try_from(n % 7).unwrap() * 30);
                assert!(weight(&recent) <= 1_000);
                assert!(recent.get(&n).is_some(), "the last one is there");
            }
            for n in 0..known + 5 {
                recent.get(&n);
                assert!(weight(&recent) <= 1_000, "{} bytes", weight(&recent));
            }
        }
    }

    #[test]
    fn a_huge_transaction_is_not_followed_to_its_end() {
        let town = TownId::new("town").unwrap();
        let label = |n: usize| {
            let row = LabelRow { bead: BeadId::new("gt-1").unwrap(), label: n.to_string() };
            Arc::new(Row::Label(row))
        };
        let mut rows = Rows::new(1 << 20);
        rows.begin(&town, 1);
        for n in 0..=TOUCHED_MAX {
            assert!(rows.touched.len() <= TOUCHED_MAX);
            label(n).with_cells(|cells| rows.write(label(n).key(), Some((&label(n), cells))));
        }
        rows.keep(&label(0).key(), &label(0));
        for n in 0..=TOUCHED_MAX {
            assert!(matches!(rows.known(&label(n).key()), Known::Not), "nobody could say that it was undone");
        }
        assert_eq!(rows.touched.capacity(), 0);
        rows.end();
        rows.begin(&town, 1);
        rows.keep(&label(0).key(), &label(0));
        assert!(
            matches!(rows.known(&label(0).key()), Known::There(row) if *row == label(0)),
            "the next one is followed"
        );
    }

    #[test]
    fn a_table_is_known_to_be_empty_until_somebody_writes_to_it() {
        let town = TownId::new("town").unwrap();
        let label = Arc::new(Row::Label(LabelRow { bead: BeadId::new("gt-1").unwrap(), label: "a".to_owned() }));
        let key = label.key();
        let of_bead = Scan::new(&crate::store::index::LABELS, vec![key.values[0].clone()], 8);
        let mut rows = Rows::new(1 << 20);
        rows.begin(&town, 1);
        assert!(matches!(rows.known(&key), Known::Not) && rows.list(&of_bead).is_none());
        rows.keep_empty(RowKind::Label, true);
        assert!(matches!(rows.known(&key), Known::Absent) && rows.list(&of_bead).is_some_and(|list| list.is_empty()));
        rows.commit(None);

        rows.begin(&town, 1);
        assert!(matches!(rows.known(&key), Known::Absent), "nobody else has committed");
        label.with_cells(|cells| rows.write(key.clone(), Some((&label, cells))));
        assert!(matches!(rows.known(&key), Known::There(_)) && rows.list(&of_bead).is_none());
        rows.end();
        rows.begin(&town, 1);
        assert!(matches!(rows.known(&key), Known::Not), "what was undone is looked up again");
        assert_eq!(rows.is_empty(RowKind::Label), None);

        rows.keep_empty(RowKind::Label, true);
        rows.begin(&town, 2);
        assert!(matches!(rows.known(&key), Known::Not), "somebody else may have written");
    }

    #[test]
    fn a_part_of_a_list_is_taken_from_the_whole() {
        let town = TownId::new("town").unwrap();
        let bead = BeadId::new("gt-1").unwrap();
        let label = |label: &str| Row::Label(LabelRow { bead: bead.clone(), label: label.to_owned() });
        let all = [label("a"), label("b"), label("c"), label("d")];
        let scan = |limit| Scan::new(&crate::store::index::LABELS, vec![Value::Text("gt-1".to_owned())], limit);
        let after = |name: &str| Some(Position(vec![Value::Text(name.to_owned())]));
        let mut rows = Rows::new(1 << 20);
        rows.begin(&town, 1);
        rows.keep_list(&scan(4), &all);
        assert_eq!(rows.list(&scan(4)), None, "there may be more");
        rows.keep_list(&scan(5), &all);
        assert_eq!(rows.list(&scan(2)).as_deref(), Some(&all[..2]));
        assert_eq!(rows.list(&scan(9).after(after("a"))).as_deref(), Some(&all[1..]));
        let middle = scan(9).after(after("a")).upto(Value::Text("c".to_owned()));
        assert_eq!(rows.list(&middle).as_deref(), Some(&all[1..3]));
        assert_eq!(rows.list(&scan(9).after(after("d"))).as_deref(), Some(&[][..]));
    }
}

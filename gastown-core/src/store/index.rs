//! The scans that must be fast, as data.
//!
//! Each index names a table, conditions that always hold in it, the columns a scan fixes, and the columns that order
//! it. Backends build one index for each; a scan that fits none of them does not exist.

use crate::model::RowKind;
use crate::model::record::Column;
use crate::model::value::Value;

/// A condition on a column that holds for every entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The column equals this number.
    Int(&'static str, i64),
    /// The column equals this text.
    Text(&'static str, &'static str),
    /// The column is not null.
    Present(&'static str),
}

/// One index.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique; backends name theirs after it.
    pub name: &'static str,
    /// The table.
    pub kind: RowKind,
    /// What holds for every entry; rows for which it does not are not in it.
    pub conditions: &'static [Condition],
    /// The columns a scan fixes, in order.
    pub prefix: &'static [&'static str],
    /// The columns that order the entries; together with the prefix they are unique.
    pub order: &'static [&'static str],
}

impl Index {
    /// One of the columns that the index names.
    pub fn column(&self, name: &str) -> &'static Column {
        &self.kind.columns()[self.place(name)]
    }

    /// Where that column stands in a row.
    pub fn place(&self, name: &str) -> usize {
        self.kind.position(name).expect("an index names columns of its table")
    }

    /// The entry of a row's values: the prefix and the order columns; none where a condition does not hold.
    pub fn entry(&self, values: &[Value]) -> Option<Vec<Value>> {
        let value = |name: &str| &values[self.place(name)];
        let holds = self.conditions.iter().all(|condition| match condition {
            Int(name, wanted) => matches!(value(name), Value::Int(n) if n == wanted),
            Text(name, wanted) => matches!(value(name), Value::Text(text) if text == wanted),
            Present(name) => *value(name) != Value::Null,
        });
        holds.then(|| self.prefix.iter().chain(self.order).map(|name| value(name).clone()).collect())
    }

    /// Whether it holds every row of its table in the order of the key, so that the key serves it.
    pub fn is_key(&self) -> bool {
        let key = &self.kind.columns()[..self.kind.key_len()];
        self.conditions.is_empty()
            && key.iter().map(|column| column.name).eq(self.prefix.iter().chain(self.order).copied())
    }
}

macro_rules! indexes {
    ($($(#[$meta:meta])* $name:ident = $kind:ident where [$($condition:expr),*] prefix [$($prefix:literal),*] order [$($order:literal),*];)*) => {
        $($(#[$meta])* pub static $name: Index = Index {
            name: stringify!($name),
            kind: RowKind::$kind,
            conditions: &[$($condition),*],
            prefix: &[$($prefix),*],
            order: &[$($order),*],
        };)*
        /// Every index.
        pub static INDEXES: &[&Index] = &[$(&$name),*];
    };
}

use Condition::{Int, Present, Text};

indexes! {
    /// Towns by id.
    TOWNS = Town where [] prefix [] order ["id"];
    /// All beads by id.
    BEADS = Bead where [] prefix [] order ["id"];
    /// Beads of one kind, oldest first.
    BEADS_BY_KIND = Bead where [] prefix ["kind"] order ["created_at", "id"];
    /// Beads of one kind and status, oldest first.
    BEADS_BY_STATUS = Bead where [] prefix ["kind", "status"] order ["created_at", "id"];
    /// Open beads of one kind without an unresolved blocker, neither pinned nor a template: most urgent first, then
    /// oldest.
    BEADS_READY = Bead where [Text("status", "open"), Int("blockers", 0), Int("pinned", 0), Int("template", 0)] prefix ["kind", "ephemeral"] order ["priority", "created_at", "id"];
    /// The same of one rig.
    BEADS_READY_BY_RIG = Bead where [Text("status", "open"), Int("blockers", 0), Int("pinned", 0), Int("template", 0), Present("rig")] prefix ["kind", "ephemeral", "rig"] order ["priority", "created_at", "id"];
    /// The same of all rigs, oldest first.
    BEADS_READY_BY_AGE = Bead where [Text("status", "open"), Int("blockers", 0), Int("pinned", 0), Int("template", 0)] prefix ["kind", "ephemeral"] order ["created_at", "id"];
    /// Beads that somebody claimed, those whose claim ends first in front.
    BEADS_BY_LEASE = Bead where [Text("status", "in_progress"), Present("lease_until")] prefix ["kind"] order ["lease_until", "id"];
    /// Slung beads that wait for an agent, queue by queue: most urgent first, then those that wait longest.
    BEADS_SLUNG = Bead where [Present("lane"), Present("slung_at")] prefix [] order ["lane", "priority", "slung_at", "id"];
    /// Beads the engine should look at now.
    BEADS_DIRTY = Bead where [Int("dirty", 1)] prefix [] order ["id"];
    /// Beads the engine should look at later, by when.
    BEADS_DUE = Bead where [Present("wake_at")] prefix [] order ["wake_at", "id"];
    /// Beads that are a part of one.
    BEADS_BY_PARENT = Bead where [Present("parent")] prefix ["parent"] order ["id"];
    /// Members of one convoy.
    BEADS_BY_CONVOY = Bead where [Present("convoy")] prefix ["convoy"] order ["id"];
    /// Beads that one agent or person holds.
    BEADS_BY_ASSIGNEE = Bead where [Present("assignee")] prefix ["assignee"] order ["id"];
    /// Beads of one name elsewhere.
    BEADS_BY_EXTERNAL_REF = Bead where [Present("external_ref")] prefix ["external_ref"] order ["id"];
    /// All texts by bead.
    BEAD_TEXTS = BeadText where [] prefix [] order ["id"];
    /// All labels by bead.
    LABELS_ALL = Label where [] prefix [] order ["bead", "label"];
    /// Labels of one bead.
    LABELS = Label where [] prefix ["bead"] order ["label"];
    /// Beads with one label.
    LABELS_BY_NAME = Label where [] prefix ["label"] order ["bead"];
    /// All edges by bead.
    DEPENDENCIES_ALL = Dependency where [] prefix [] order ["bead", "on_bead", "kind"];
    /// What one bead depends on.
    DEPENDENCIES = Dependency where [] prefix ["bead"] order ["on_bead", "kind"];
    /// What depends on one bead, kind by kind.
    DEPENDENTS = Dependency where [] prefix ["on_bead"] order ["kind", "bead"];
    /// All agents by id.
    AGENTS = Agent where [] prefix [] order ["id"];
    /// The agent of one name.
    AGENTS_BY_NAME = Agent where [] prefix ["name"] order ["id"];
    /// Agents of one rig, role and state, longest in it first.
    AGENTS_BY_STATE = Agent where [] prefix ["rig", "role", "state"] order ["since", "id"];
    /// All sessions by id.
    SESSIONS = Session where [] prefix [] order ["id"];
    /// Sessions of one state, oldest first.
    SESSIONS_BY_STATE = Session where [] prefix ["state"] order ["created_at", "id"];
    /// Sessions of one bead, by epoch.
    SESSIONS_BY_BEAD = Session where [] prefix ["bead"] order ["epoch", "id"];
    /// Sessions of one agent, oldest first.
    SESSIONS_BY_AGENT = Session where [] prefix ["agent"] order ["created_at", "id"];
    /// Sessions the engine should look at later, by when.
    SESSIONS_DUE = Session where [Present("wake_at")] prefix [] order ["wake_at", "id"];
    /// All convoys by id.
    CONVOYS = Convoy where [] prefix [] order ["id"];
    /// Convoys of one state.
    CONVOYS_BY_STATE = Convoy where [] prefix ["state"] order ["id"];
    /// All merge requests by id.
    REVIEWS = MergeRequest where [] prefix [] order ["id"];
    /// The queue of one target: merge requests of one state, in order.
    REVIEWS_BY_TARGET = MergeRequest where [] prefix ["rig", "target", "state"] order ["position", "id"];
    /// Merge requests of one state.
    REVIEWS_BY_STATE = MergeRequest where [] prefix ["state"] order ["position", "id"];
    /// Merge requests of one bead or convoy.
    REVIEWS_BY_SOURCE = MergeRequest where [] prefix ["source"] order ["position", "id"];
    /// All deliveries by message.
    DELIVERIES = Delivery where [] prefix [] order ["message", "recipient"];
    /// Deliveries of one message.
    DELIVERIES_BY_MESSAGE = Delivery where [] prefix ["message"] order ["recipient"];
    /// One recipient's deliveries of one state: most urgent first, then oldest.
    DELIVERIES_BY_RECIPIENT = Delivery where [] prefix ["recipient", "state"] order ["priority", "stored_at", "message"];
    /// Deliveries of one conversation, oldest first.
    DELIVERIES_BY_THREAD = Delivery where [] prefix ["thread"] order ["stored_at", "message", "recipient"];
    /// Deliveries the engine should look at later, by when.
    DELIVERIES_DUE = Delivery where [Present("wake_at")] prefix [] order ["wake_at", "message", "recipient"];
    /// All effects by id.
    EFFECTS = Effect where [] prefix [] order ["id"];
    /// Effects of one state, by when they may be issued.
    EFFECTS_BY_STATE = Effect where [] prefix ["state"] order ["next_at", "id"];
    /// Effects of one state and kind, by when they may be issued.
    EFFECTS_BY_KIND = Effect where [] prefix ["state", "kind"] order ["next_at", "id"];
    /// All rigs.
    RIGS = Rig where [] prefix [] order ["name"];
    /// All remembered answers by who asked what.
    ANSWERS = Idempotency where [] prefix [] order ["principal", "operation", "idempotency_key"];
    /// Remembered answers, oldest first.
    ANSWERS_BY_AGE = Idempotency where [] prefix [] order ["created_at", "principal", "operation", "idempotency_key"];
    /// All settings by scope.
    SETTINGS_ALL = Setting where [] prefix [] order ["scope", "name"];
    /// The leader.
    LEADERS = Leader where [] prefix [] order ["name"];
    /// Settings of one scope.
    SETTINGS = Setting where [] prefix ["scope"] order ["name"];
    /// All comments by bead.
    COMMENTS_ALL = Comment where [] prefix [] order ["bead", "id"];
    /// Comments of one bead.
    COMMENTS = Comment where [] prefix ["bead"] order ["id"];
    /// What is left of deleted beads.
    TOMBSTONES = Tombstone where [] prefix [] order ["id"];
    /// Records of other programs.
    FOREIGN_RECORDS = Foreign where [] prefix [] order ["source", "name"];
    /// All reservations by bead.
    RESERVATIONS_ALL = Reservation where [] prefix [] order ["bead", "pattern"];
    /// Reservations of one bead.
    RESERVATIONS = Reservation where [] prefix ["bead"] order ["pattern"];
    /// Reservations of one rig, those that end first in front.
    RESERVATIONS_BY_RIG = Reservation where [] prefix ["rig"] order ["expires_at", "bead", "pattern"];
    /// Slung beads that somebody works on, of one rig and convoy.
    BEADS_RUNNING = Bead where [Text("status", "in_progress"), Int("slung", 1)] prefix ["rig", "convoy"] order ["id"];
    /// Agents with a session.
    AGENTS_BUSY = Agent where [Present("hook"), Present("session")] prefix [] order ["id"];
    /// The same of one rig.
    AGENTS_BUSY_BY_RIG = Agent where [Present("hook"), Present("session")] prefix ["rig"] order ["id"];
    /// The same of one role.
    AGENTS_BUSY_BY_ROLE = Agent where [Present("hook"), Present("session")] prefix ["role"] order ["id"];
    /// The same that run one program.
    AGENTS_BUSY_BY_PRESET = Agent where [Present("hook"), Present("session"), Present("preset")] prefix ["preset"] order ["id"];
    /// Idle agents that the engine made, longest idle first.
    AGENTS_POOLED = Agent where [Text("state", "idle"), Int("pooled", 1)] prefix [] order ["since", "id"];
    /// Agents that are paused until a time, by when.
    AGENTS_PAUSED = Agent where [Present("paused_until")] prefix [] order ["paused_until", "id"];
    /// Rigs that are paused until a time, by when.
    RIGS_PAUSED = Rig where [Present("paused_until")] prefix [] order ["paused_until", "name"];
    /// All breakers.
    BREAKERS = Breaker where [] prefix [] order ["subject"];
    /// Breakers the engine should look at later, by when.
    BREAKERS_DUE = Breaker where [Present("wake_at")] prefix [] order ["wake_at", "subject"];
    /// Rows that could not be read.
    QUARANTINE = Quarantine where [] prefix [] order ["id"];
    /// All capabilities.
    CAPABILITIES = Capability where [] prefix [] order ["id"];
    /// Capabilities by when they end.
    CAPABILITIES_BY_END = Capability where [] prefix [] order ["expires_at", "id"];
}

/// The index over every row of a kind, in the order of its key.
pub fn of_key(kind: RowKind) -> &'static Index {
    INDEXES
        .iter()
        .find(|index| index.kind == kind && index.prefix.is_empty() && index.is_key())
        .expect("every kind has one: a test looks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_names_columns_of_its_table_and_is_unique() {
        for index in INDEXES {
            let mut names: Vec<&str> = index.prefix.to_vec();
            names.extend(index.order);
            names.extend(index.conditions.iter().map(|c| match c {
                Int(name, _) | Text(name, _) | Present(name) => *name,
            }));
            for name in names {
                assert!(index.kind.position(name).is_some(), "{} names no column {name}", index.name);
            }
            let key: Vec<&str> = index.kind.columns()[..index.kind.key_len()].iter().map(|c| c.name).collect();
            assert!(
                key.iter().all(|k| index.prefix.contains(k) || index.order.contains(k)),
                "{} does not hold its key, so two entries could be equal",
                index.name
            );
        }
    }

    #[test]
    fn every_kind_has_an_index_over_all_its_rows() {
        for &kind in RowKind::ALL {
            assert_eq!(of_key(kind).kind, kind);
        }
    }

    #[test]
    fn no_order_column_of_an_entry_is_null() {
        for index in INDEXES {
            for name in index.order {
                let present = index.conditions.contains(&Present(name));
                assert!(present || !index.column(name).nullable, "{}: {name} may be null", index.name);
            }
        }
    }
}

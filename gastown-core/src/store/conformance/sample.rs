//! Rows and events for tests: drawn from a seed, from small sets of values, so that they meet.

use crate::model::value::Value;
use crate::model::{
    AgentName, AgentRow, AgentState, BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, BreakerRow, BreakerState,
    CapabilityId, CapabilityRow, CommentRow, ConvoyMode, ConvoyRow, ConvoyState, DeliveryRow, DeliveryState,
    DependencyKind, DependencyRow, EffectId, EffectRow, EffectState, Event, FailurePolicy, ForeignRow, Head,
    IdempotencyRow, LabelRow, LeaderRow, MergeRequestRow, Oid, QuarantineRow, ReservationRow, ReviewState, RigName,
    RigRow, RigState, Role, Row, RowKind, SessionExit, SessionId, SessionRow, SessionState, Setback, SettingRow, Stall,
    Timestamp, TombstoneRow, TownRow, WaitGate,
};

/// A stream of numbers that a seed determines (xorshift).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }

    /// One of these.
    pub fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    fn int(&mut self) -> i64 {
        self.of(&[i64::MIN, -1, 0, 0, 1, 1, 2, 3, i64::MAX])
    }

    fn at(&mut self) -> Timestamp {
        Timestamp::from_micros(self.int())
    }

    fn count(&mut self) -> u32 {
        self.of(&[0, 1, 2, 3, u32::MAX])
    }

    fn text(&mut self) -> String {
        self.of(&["", "a", "A", "b", "ä", "a b", "it's \"x\"", "日本", "\u{10ffff}", "a\0b", "%_"]).to_owned()
    }

    fn json(&mut self) -> serde_json::Value {
        match self.below(4) {
            0 => serde_json::json!({}),
            1 => serde_json::json!({ "b": [1, null, "x"], "a": self.text() }),
            2 => serde_json::json!(self.int()),
            _ => serde_json::Value::Null,
        }
    }

    /// A bead's id out of few.
    pub fn bead(&mut self) -> BeadId {
        let number = self.below(40);
        BeadId::new(format!("gt-{number}")).expect("it is an id")
    }

    fn capability(&mut self) -> CapabilityId {
        let number = self.below(40);
        CapabilityId::new(format!("cap-{number}")).expect("it is an id")
    }

    fn session(&mut self) -> SessionId {
        let number = self.below(40);
        SessionId::new(format!("s-{number}")).expect("it is an id")
    }

    fn rig(&mut self) -> RigName {
        RigName::new(self.of(&["a", "b", "ab"])).expect("it is a name")
    }

    fn oid(&mut self) -> Oid {
        Oid::new(self.of(&["0", "a", "f"]).repeat(40)).expect("it is an object id")
    }
}

/// A row of this kind, of the town `town`.
pub fn row(kind: RowKind, town: &crate::model::TownId, draw: &mut Draw) -> Row {
    match kind {
        RowKind::Town => Row::Town(TownRow {
            id: town.clone(),
            created_at: draw.at(),
            data_schema: draw.int(),
            paused_reason: draw.maybe(Draw::text),
            paused_until: draw.maybe(Draw::at),
        }),
        RowKind::Rig => Row::Rig(RigRow {
            name: draw.rig(),
            prefix: draw.text(),
            remote: draw.text(),
            target: draw.text(),
            state: draw.of(RigState::ALL),
            created_at: draw.at(),
            paused_reason: draw.maybe(Draw::text),
            paused_until: draw.maybe(Draw::at),
        }),
        RowKind::Bead => Row::Bead(bead(draw)),
        RowKind::BeadText => Row::BeadText(BeadTextRow {
            id: draw.bead(),
            description: draw.text(),
            design: draw.text(),
            acceptance: draw.text(),
            notes: draw.text(),
        }),
        RowKind::Label => Row::Label(LabelRow { bead: draw.bead(), label: draw.text() }),
        RowKind::Dependency => Row::Dependency(DependencyRow {
            bead: draw.bead(),
            on_bead: draw.bead(),
            kind: draw.of(DependencyKind::ALL),
            counted: draw.flag(),
            created_by: draw.text(),
            created_at: draw.at(),
            gate: draw.maybe(|draw| draw.of(WaitGate::ALL)),
            extra: draw.maybe(Draw::json),
        }),
        RowKind::Comment => Row::Comment(CommentRow {
            bead: draw.bead(),
            id: draw.text(),
            author: draw.text(),
            text: draw.text(),
            created_at: draw.at(),
            extra: draw.maybe(Draw::json),
        }),
        RowKind::Tombstone => Row::Tombstone(TombstoneRow {
            id: draw.bead(),
            deleted_at: draw.at(),
            deleted_by: draw.text(),
            reason: draw.maybe(Draw::text),
            record: draw.maybe(Draw::json),
        }),
        RowKind::Foreign => Row::Foreign(ForeignRow { source: draw.text(), name: draw.text(), data: draw.json() }),
        RowKind::Reservation => Row::Reservation(ReservationRow {
            bead: draw.bead(),
            pattern: draw.text(),
            rig: draw.rig(),
            created_by: draw.text(),
            created_at: draw.at(),
            expires_at: draw.at(),
        }),
        RowKind::Capability => Row::Capability(CapabilityRow {
            id: draw.capability(),
            principal: draw.text(),
            rig: draw.maybe(Draw::rig),
            verbs: draw.maybe(Draw::json),
            parent: draw.maybe(Draw::capability),
            issued_by: draw.text(),
            issued_at: draw.at(),
            expires_at: draw.at(),
            revoked_at: draw.maybe(Draw::at),
            revoked_by: draw.maybe(Draw::text),
            revoked_reason: draw.maybe(Draw::text),
        }),
        RowKind::Quarantine => Row::Quarantine(QuarantineRow {
            id: draw.text(),
            source: draw.text(),
            source_key: draw.json(),
            columns: draw.json(),
            problem: draw.text(),
            moved_by: draw.text(),
            moved_at: draw.at(),
        }),
        RowKind::Agent => Row::Agent(AgentRow {
            id: draw.bead(),
            name: AgentName::new(draw.of(&["nux", "toast", "max"])).expect("it is a name"),
            role: draw.of(Role::ALL),
            rig: draw.maybe(Draw::rig),
            state: draw.of(AgentState::ALL),
            hook: draw.maybe(Draw::bead),
            session: draw.maybe(Draw::session),
            sessions: draw.int(),
            since: draw.at(),
            pooled: draw.of(&[true, true, false]),
            preset: draw.maybe(Draw::text),
            paused_reason: draw.maybe(Draw::text),
            paused_until: draw.maybe(Draw::at),
        }),
        RowKind::Session => Row::Session(session(draw)),
        RowKind::Convoy => Row::Convoy(ConvoyRow {
            id: draw.bead(),
            rig: draw.rig(),
            mode: draw.of(ConvoyMode::ALL),
            on_failure: draw.of(FailurePolicy::ALL),
            state: draw.of(ConvoyState::ALL),
            branch: draw.text(),
            target: draw.text(),
            base: draw.maybe(Draw::oid),
            head: draw.maybe(Draw::oid),
            landed_oid: draw.maybe(Draw::oid),
            landed_at: draw.maybe(Draw::at),
            reason: draw.maybe(Draw::text),
        }),
        RowKind::MergeRequest => Row::MergeRequest(MergeRequestRow {
            id: draw.bead(),
            source: draw.bead(),
            rig: draw.rig(),
            session: draw.maybe(Draw::session),
            branch: draw.text(),
            target: draw.of(&["main", "convoy/1"]).to_owned(),
            head: draw.oid(),
            state: draw.of(ReviewState::ALL),
            published: draw.flag(),
            target_oid: draw.maybe(Draw::oid),
            merge_oid: draw.maybe(Draw::oid),
            landed_oid: draw.maybe(Draw::oid),
            attempts: draw.count(),
            problem: draw.maybe(Draw::json),
            position: draw.int(),
            created_at: draw.at(),
        }),
        RowKind::Delivery => Row::Delivery(DeliveryRow {
            message: draw.bead(),
            recipient: draw.text(),
            sender: draw.text(),
            thread: draw.bead(),
            state: draw.of(DeliveryState::ALL),
            priority: draw.count(),
            session: draw.maybe(Draw::session),
            attempts: draw.count(),
            problem: draw.maybe(Draw::text),
            stored_at: draw.at(),
            offered_at: draw.maybe(Draw::at),
            seen_at: draw.maybe(Draw::at),
            ended_at: draw.maybe(Draw::at),
            expires_at: draw.maybe(Draw::at),
            wake_at: draw.maybe(Draw::at),
        }),
        RowKind::Effect => Row::Effect(EffectRow {
            id: EffectId::new(format!("start#s-{}", draw.below(40))).expect("it is an id"),
            kind: draw.text(),
            rig: draw.rig(),
            state: draw.of(EffectState::ALL),
            payload: draw.json(),
            attempts: draw.count(),
            leader_epoch: draw.int(),
            next_at: draw.at(),
            outcome: draw.maybe(Draw::text),
            created_at: draw.at(),
            updated_at: draw.at(),
            setback: draw.maybe(|draw| draw.of(Setback::ALL)),
        }),
        RowKind::Breaker => Row::Breaker(BreakerRow {
            subject: draw.text(),
            rig: draw.maybe(Draw::rig),
            state: draw.of(BreakerState::ALL),
            failures: draw.count(),
            openings: draw.count(),
            reason: draw.maybe(Draw::text),
            failed_at: draw.maybe(Draw::at),
            since: draw.at(),
            probe: draw.maybe(Draw::session),
            escalation: draw.maybe(Draw::bead),
            wake_at: draw.maybe(Draw::at),
        }),
        RowKind::Setting => Row::Setting(SettingRow {
            scope: draw.of(&["town", "rig:a", "rig:ab"]).to_owned(),
            name: draw.text(),
            value: draw.json(),
            updated_at: draw.at(),
        }),
        RowKind::Leader => Row::Leader(LeaderRow {
            name: "engine".to_owned(),
            holder: draw.text(),
            epoch: draw.int(),
            lease_until: draw.at(),
            drain_reason: draw.maybe(Draw::text),
            drain_until: draw.maybe(Draw::at),
        }),
        RowKind::Idempotency => Row::Idempotency(IdempotencyRow {
            principal: draw.text(),
            operation: draw.text(),
            idempotency_key: draw.text(),
            request_hash: draw.text(),
            answer: draw.json(),
            created_at: draw.at(),
        }),
    }
}

/// The row as a table without some of its columns keeps it.
pub fn kept_of(row: &Row, has: impl Fn(&str) -> bool) -> Row {
    let kind = row.kind();
    let columns = kind.columns().iter().zip(row.to_values());
    let values: Vec<_> =
        columns.map(|(column, value)| if has(column.name) { value } else { column.resting() }).collect();
    kind.decode(&values).expect("a column may hold what it rests at")
}

/// A bead.
pub fn bead(draw: &mut Draw) -> BeadRow {
    BeadRow {
        id: draw.bead(),
        kind: draw.of(&[BeadKind::Issue, BeadKind::Convoy]),
        status: draw.of(&[BeadStatus::Open, BeadStatus::Open, BeadStatus::InProgress, BeadStatus::Closed]),
        resolution: None,
        title: draw.text(),
        priority: draw.count(),
        issue_type: draw.text(),
        metadata: draw.json(),
        rig: draw.maybe(Draw::rig),
        parent: draw.maybe(Draw::bead),
        convoy: draw.maybe(Draw::bead),
        assignee: draw.maybe(Draw::text),
        created_by: draw.text(),
        external_ref: draw.maybe(Draw::text),
        defer_until: draw.maybe(Draw::at),
        due_at: draw.maybe(Draw::at),
        estimate_minutes: draw.maybe(Draw::count),
        parked_reason: draw.maybe(Draw::text),
        parked_until: draw.maybe(Draw::at),
        slung: draw.flag(),
        slung_to: draw.maybe(Draw::bead),
        slung_role: draw.maybe(|draw| draw.of(Role::ALL)),
        slung_at: draw.maybe(Draw::at),
        lane: draw.maybe(Draw::text),
        blockers: draw.of(&[0, 0, 1]),
        epoch: draw.int(),
        failures: draw.count(),
        outages: draw.count(),
        reworks: draw.count(),
        wake_at: draw.maybe(Draw::at),
        lease_until: draw.maybe(Draw::at),
        dirty: draw.flag(),
        version: draw.int(),
        created_at: draw.at(),
        updated_at: draw.at(),
        closed_at: draw.maybe(Draw::at),
        source_status: draw.maybe(Draw::text),
        extra: draw.maybe(Draw::json),
        labels: if draw.flag() { Vec::new() } else { vec![draw.text(), draw.text()] },
        owner: draw.maybe(Draw::text),
        spec_id: draw.maybe(Draw::text),
        close_reason: draw.maybe(Draw::text),
        started_at: draw.maybe(Draw::at),
        pinned: draw.of(&[false, false, true]),
        ephemeral: draw.flag(),
        template: draw.of(&[false, false, true]),
        rank: draw.int(),
        parts: draw.int(),
        open_parts: draw.int(),
        last_part: draw.int(),
        comments: draw.int(),
        agent_failures: draw.count(),
        auth_failures: draw.count(),
        failure: draw.maybe(Draw::json),
    }
}

fn session(draw: &mut Draw) -> SessionRow {
    SessionRow {
        id: draw.session(),
        agent: draw.bead(),
        bead: draw.bead(),
        rig: draw.rig(),
        epoch: draw.int(),
        state: draw.of(SessionState::ALL),
        exit: draw.maybe(|draw| draw.of(SessionExit::ALL)),
        reason: draw.maybe(Draw::text),
        branch: draw.text(),
        target: draw.text(),
        base: draw.maybe(Draw::oid),
        head: draw.maybe(Draw::oid),
        created_at: draw.at(),
        started_at: draw.maybe(Draw::at),
        ended_at: draw.maybe(Draw::at),
        lease_until: draw.maybe(Draw::at),
        last_progress: draw.maybe(Draw::at),
        wake_at: draw.maybe(Draw::at),
        progress: draw.int(),
        ending: draw.maybe(|draw| draw.of(SessionExit::ALL)),
        stall: draw.maybe(|draw| draw.of(Stall::ALL)),
        triage: draw.maybe(Draw::bead),
        checkpoint: draw.maybe(Draw::json),
        saved: draw.maybe(Draw::oid),
    }
}

/// An entry behind `head`, with one change where `row` is given.
pub fn event(head: &Head, row: Option<&Row>, draw: &mut Draw) -> Event {
    let session = draw.maybe(|draw| (draw.session(), draw.int().max(0)));
    let (actor, subject, data) = (draw.text(), draw.text(), draw.json());
    let changes = row.map(Row::to_change).into_iter().collect();
    Event::next(head, draw.at(), &actor, session, "bead.changed", &subject, data, changes)
}

/// A value that no row has in this column.
pub(super) fn absent(index: &crate::store::index::Index, name: &str) -> Value {
    match index.column(name).column_type {
        crate::model::value::ColumnType::Int => Value::Int(77),
        crate::model::value::ColumnType::Text => Value::Text("no such".to_owned()),
    }
}

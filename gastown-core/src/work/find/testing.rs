//! A town in memory for tests of what finds beads.

use std::cmp::Reverse;

use crate::model::{
    BeadId, BeadKind, BeadRow, BeadStatus, BeadTextRow, LabelRow, Result, RigName, Scope, Stored as _, Timestamp,
    TownId,
};
use crate::store::conformance::sample::{self, Draw};
use crate::store::{Access, Backend as _, MemoryBackend, Reader, Txn};
use crate::work::query::{QuerySort, parse};
use crate::work::view::View;

/// A town with beads, of which everything is known.
pub(crate) struct TestTown {
    backend: MemoryBackend,
    pub(crate) beads: Vec<(BeadRow, Option<BeadTextRow>)>,
}

fn town() -> TownId {
    TownId::new("town").unwrap()
}

pub(crate) fn at_day(now: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_micros(now.as_micros() + days * 86_400_000_000)
}

impl TestTown {
    pub(crate) fn of(beads: Vec<(BeadRow, Option<BeadTextRow>)>) -> Self {
        let this = Self { backend: MemoryBackend::new(), beads };
        this.write(|txn| {
            for (row, texts) in &this.beads {
                txn.put(&row.clone().into_row())?;
                if let Some(texts) = texts {
                    txn.put(&texts.clone().into_row())?;
                }
                for label in &row.labels {
                    txn.put(&LabelRow { bead: row.id.clone(), label: label.clone() }.into_row())?;
                }
            }
            Ok(())
        });
        this
    }

    pub(crate) fn write(&self, job: impl FnOnce(&mut dyn Txn) -> Result<()>) {
        let mut connection = self.backend.connect(Access::Write).unwrap();
        let mut txn = connection.write(&town()).unwrap();
        job(&mut *txn).unwrap();
        txn.commit().unwrap();
    }

    pub(crate) fn read<T>(&self, scope: &Scope, now: Timestamp, job: impl FnOnce(View<'_>) -> T) -> T {
        self.read_raw(|reader| job(View::new(reader, scope, now)))
    }

    pub(crate) fn read_raw<T>(&self, job: impl FnOnce(&dyn Reader) -> T) -> T {
        let mut connection = self.backend.connect(Access::Read).unwrap();
        let reader: Box<dyn Reader + '_> = connection.read(&town()).unwrap();
        job(&*reader)
    }

    /// The ids of a query's beads by a look at every one.
    pub(crate) fn plain(&self, view: View<'_>, text: &str, sort: QuerySort) -> Vec<String> {
        let query = parse(text, view.now()).unwrap();
        let mut found: Vec<&BeadRow> = self
            .beads
            .iter()
            .filter(|(row, texts)| query.holds_with(row, texts.as_ref()))
            .map(|(row, _)| row)
            .collect();
        found.sort_by_key(|row| row.id.clone());
        match sort {
            QuerySort::Created => found.sort_by_key(|row| row.created_at),
            QuerySort::Newest => found.sort_by_key(|row| Reverse(row.created_at)),
            QuerySort::Updated => found.sort_by_key(|row| Reverse(row.updated_at)),
            QuerySort::Priority => found.sort_by_key(|row| (row.priority, row.created_at)),
            QuerySort::Due => found
                .sort_by_key(|row| (row.due_at.map_or(i64::MAX, Timestamp::as_micros), row.priority, row.created_at)),
            QuerySort::Id => {}
        }
        found.into_iter().map(|row| row.id.to_string()).collect()
    }
}

/// So many beads with a little of everything, in November 2025.
pub(crate) fn town_of(seed: u64, count: usize) -> TestTown {
    let mut draw = Draw::new(seed);
    let now = Timestamp::from_micros(1_763_769_600_000_000);
    let words = ["keel", "mast", "sail", "the keel of it"];
    let beads = (0..count)
        .map(|n| {
            let id = BeadId::new(format!("gt-{n}")).unwrap();
            let day = |draw: &mut Draw| at_day(now, -draw.of(&[0, 1, 2, 7, 11, 12, 20, 40]));
            let created_at = day(&mut draw);
            let row = BeadRow {
                id: id.clone(),
                kind: draw.of(&[BeadKind::Issue, BeadKind::Issue, BeadKind::Issue, BeadKind::Message]),
                status: draw.of(&[BeadStatus::Open, BeadStatus::InProgress, BeadStatus::Closed]),
                title: draw.of(&words).to_owned(),
                priority: draw.of(&[0, 1, 2, 3, 4]),
                labels: draw.of(&[&["red"][..], &["blue", "red"], &[], &[]]).iter().map(|&l| l.to_owned()).collect(),
                assignee: draw.of(&[None, Some("tess"), Some("nux")]).map(str::to_owned),
                rig: draw.of(&[None, Some("harbour"), Some("yard")]).map(|rig| RigName::new(rig).unwrap()),
                parent: draw.of(&[None, None, Some("gt-0")]).map(|id| BeadId::new(id).unwrap()),
                convoy: draw.of(&[None, None, Some("gt-0")]).map(|id| BeadId::new(id).unwrap()),
                external_ref: draw.of(&[None, None, Some("gh-3")]).map(str::to_owned),
                due_at: draw.of(&[None, Some(-1), Some(5)]).map(|days| at_day(now, days)),
                metadata: draw.of(&["{}", "{\"n\":2}", "{\"n\":\"x\"}"]).parse().unwrap(),
                pinned: draw.of(&[false, false, true]),
                created_at,
                updated_at: day(&mut draw).max(created_at),
                ..sample::bead(&mut draw)
            };
            let texts = draw.of(&[true, true, false]).then(|| BeadTextRow {
                id,
                description: draw.of(&["", "keel", "No Keel here", "mast"]).to_owned(),
                design: String::new(),
                acceptance: draw.of(&["", "sail"]).to_owned(),
                notes: String::new(),
            });
            (row, texts)
        })
        .collect();
    TestTown::of(beads)
}

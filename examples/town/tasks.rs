//! The tasks of the convoy and how they wait for each other.

use gastown_core::Task;
use serde_json::json;

/// What the bundled agent does with a task besides writing its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing.
    Plain,
    /// It fails the first time.
    FailsOnce,
    /// It writes the file that the next one writes too.
    Berth,
    /// It conflicts with the one before the first time.
    ConflictsOnce,
    /// It writes an index of what the others wrote.
    Book,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::FailsOnce => "fails-once",
            Self::Berth => "berth",
            Self::ConflictsOnce => "conflicts-once",
            Self::Book => "book",
        }
    }
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) title: String,
    pub(crate) part: Part,
    /// By their places in the list, all of them before this one.
    pub(crate) waits_for: Vec<usize>,
}

const FIRST: [(&str, Part, &[usize]); 11] = [
    // A diamond.
    ("Survey the harbour", Part::Plain, &[]),
    ("Dredge the channel", Part::Plain, &[0]),
    ("Raise the lighthouse", Part::Plain, &[0]),
    ("Open the harbour", Part::Plain, &[1, 2]),
    // A chain.
    ("Lay the keel", Part::Plain, &[]),
    ("Frame the hull", Part::Plain, &[4]),
    ("Step the mast", Part::Plain, &[5]),
    ("Mend the nets", Part::FailsOnce, &[]),
    ("Give berth one to the Otter", Part::Berth, &[]),
    ("Give berth one to the Heron", Part::ConflictsOnce, &[8]),
    ("Count the stores", Part::Plain, &[]),
];

/// The first `count` tasks; from 12 on the last one waits for all that nobody else waits for.
pub(crate) fn plan(count: usize) -> Vec<Planned> {
    let mut tasks: Vec<Planned> = FIRST
        .iter()
        .map(|&(title, part, waits_for)| Planned { title: title.to_owned(), part, waits_for: waits_for.to_vec() })
        .collect();
    for at in tasks.len()..count.saturating_sub(1) {
        // Again and again a diamond, a chain, and one that stands alone.
        let waits_for = match (at - FIRST.len()) % 8 {
            1 | 2 | 5 | 6 => vec![at - if (at - FIRST.len()) % 8 == 2 { 2 } else { 1 }],
            3 => vec![at - 2, at - 1],
            _ => vec![],
        };
        tasks.push(Planned { title: format!("Stow crate {}", at + 1), part: Part::Plain, waits_for });
    }
    if count > FIRST.len() {
        let ends = (0..tasks.len()).filter(|at| !tasks.iter().any(|task| task.waits_for.contains(at))).collect();
        tasks.push(Planned { title: "Write the harbour book".to_owned(), part: Part::Book, waits_for: ends });
    }
    tasks.truncate(count);
    tasks
}

/// The tasks as they are slung; the bundled agent finds its part in the bead's metadata.
pub(crate) fn to_sling(tasks: &[Planned]) -> Vec<Task> {
    tasks
        .iter()
        .enumerate()
        .map(|(at, task)| Task {
            metadata: Some(json!({ "demo": { "part": task.part.name(), "task": at } })),
            ..Task::new(task.title.clone(), task.waits_for.clone())
        })
        .collect()
}

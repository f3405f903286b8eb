//! Rigs: repositories under the town's care.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settings::{self, NewSettings};
use super::txn::ScopedTxn;
use super::view::View;
use crate::model::id::excerpt;
use crate::model::{Error, Key, Result, RigName, RigRow, RigState, Timestamp};
use crate::store::{Scan, index};

/// The most rigs of a town.
pub(crate) const RIGS_MAX: usize = 10_000;

/// A rig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are those of RigRow, documented there")]
pub struct Rig {
    pub name: RigName,
    pub prefix: String,
    pub remote: String,
    pub target: String,
    pub state: RigState,
    pub created_at: Timestamp,
    pub paused_reason: Option<String>,
    pub paused_until: Option<Timestamp>,
}

impl From<RigRow> for Rig {
    fn from(row: RigRow) -> Self {
        let RigRow { name, prefix, remote, target, state, created_at, paused_reason, paused_until } = row;
        Self { name, prefix, remote, target, state, created_at, paused_reason, paused_until }
    }
}

/// A repository to take under the town's care.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRig {
    /// Its name in the town.
    pub name: RigName,
    /// Where it is: an absolute path, `https://`, `ssh://` or `user@host:path`; without secrets.
    pub remote: String,
    /// Starts the ids of its beads: 1 to 12 of a-z and 0-9, a letter first; made from the name where it is left out.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The branch that work lands on; `main` where it is left out.
    #[serde(default)]
    pub target: Option<String>,
    /// Its own settings.
    #[serde(default)]
    pub settings: NewSettings,
}

impl AddRig {
    /// A rig of this name and remote, landing on `main`.
    pub fn new(name: RigName, remote: impl Into<String>) -> Self {
        Self { name, remote: remote.into(), prefix: None, target: None, settings: NewSettings::new() }
    }

    /// The branch that work lands on.
    pub fn target(&self) -> &str {
        self.target.as_deref().unwrap_or("main")
    }
}

/// Names one rig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RigRef {
    /// Which.
    pub name: RigName,
}

impl From<RigName> for RigRef {
    fn from(name: RigName) -> Self {
        Self { name }
    }
}

impl From<&RigName> for RigRef {
    fn from(name: &RigName) -> Self {
        Self { name: name.clone() }
    }
}

/// Settings for the town or one rig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configure {
    /// Which rig; the town where it is left out.
    pub rig: Option<RigName>,
    /// Values by name; null takes a setting away.
    pub settings: NewSettings,
}

pub(crate) fn missing(name: &RigName) -> Error {
    Error::not_found("rig_missing", format!("there is no rig {name}")).with("rig", name)
}

pub(crate) fn row(view: View<'_>, name: &RigName) -> Result<RigRow> {
    view.find(&Key::rig(name))?.ok_or_else(|| missing(name))
}

/// Records a rig whose repository was found to be usable.
pub(crate) fn add(txn: &mut ScopedTxn<'_>, input: &AddRig) -> Result<Rig> {
    let rigs: Vec<RigRow> = txn.scan(Scan::new(&index::RIGS, vec![], RIGS_MAX))?;
    if rigs.iter().any(|rig| rig.name == input.name) {
        return Err(
            Error::conflict("rig_exists", format!("there is a rig {} already", input.name)).with("rig", &input.name)
        );
    }
    if rigs.len() == RIGS_MAX {
        return Err(Error::exhausted("too_many_rigs", format!("a town has at most {RIGS_MAX} rigs")));
    }
    let prefix = match &input.prefix {
        Some(prefix) => prefix.clone(),
        None => free_prefix(&input.name, &rigs),
    };
    let legal = (1..=12).contains(&prefix.len())
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !legal {
        return Err(Error::invalid("prefix_malformed", format!("{} cannot start ids", excerpt(&prefix)))
            .with("rule", "1 to 12 of a-z and 0-9, a letter first"));
    }
    if prefix == super::beads::TOWN_PREFIX || rigs.iter().any(|rig| rig.prefix == prefix) {
        return Err(Error::conflict("prefix_taken", format!("the prefix {prefix} is taken")).with("prefix", prefix));
    }
    let rig = RigRow {
        name: input.name.clone(),
        prefix,
        remote: input.remote.clone(),
        target: input.target().to_owned(),
        state: RigState::Active,
        created_at: txn.now(),
        paused_reason: None,
        paused_until: None,
    };
    txn.put(rig.clone())?;
    txn.event("rig.added", &rig.name, json!({ "target": rig.target, "prefix": rig.prefix }));
    settings::configure(txn, Some(&rig.name), &input.settings)?;
    Ok(rig.into())
}

/// The first letters of the name's parts, made unique with a number.
fn free_prefix(name: &RigName, rigs: &[RigRow]) -> String {
    let mut start: String = name
        .as_str()
        .split(['-', '_'])
        .filter_map(|part| part.chars().find(char::is_ascii_alphanumeric))
        .take(6)
        .collect();
    if start.len() < 2 {
        start = name.as_str().chars().filter(char::is_ascii_alphanumeric).take(2).collect();
    }
    if !start.starts_with(|c: char| c.is_ascii_lowercase()) {
        start.insert(0, 'r');
    }
    let taken = |prefix: &str| prefix == super::beads::TOWN_PREFIX || rigs.iter().any(|rig| rig.prefix == prefix);
    if !taken(&start) {
        return start;
    }
    // One more than there are rigs, so one of them is free.
    (2..rigs.len() + 4).map(|n| format!("{start}{n}")).find(|prefix| !taken(prefix)).unwrap_or(start)
}

pub(crate) fn get(view: View<'_>, input: &RigRef) -> Result<Rig> {
    row(view, &input.name).map(Rig::from)
}

/// All rigs, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigList {
    /// The rigs.
    pub rigs: Vec<Rig>,
}

/// Asks for everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct All {}

pub(crate) fn list(view: View<'_>, _: &All) -> Result<RigList> {
    let rows: Vec<RigRow> = view.scan(Scan::new(&index::RIGS, vec![], RIGS_MAX))?;
    Ok(RigList { rigs: rows.into_iter().map(Rig::from).collect() })
}

pub(crate) fn configure(txn: &mut ScopedTxn<'_>, input: &Configure) -> Result<super::graph::Changed> {
    settings::configure(txn, input.rig.as_ref(), &input.settings)?;
    Ok(super::graph::Changed { changed: !input.settings.is_empty() })
}

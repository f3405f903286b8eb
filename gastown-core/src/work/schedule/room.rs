//! The limits on sessions at once.

use std::collections::BTreeMap;

use crate::model::value::ColumnValue as _;
use crate::model::{Result, RigName, Role};
use crate::mutant::{self, Mutant};
use crate::store::{Scan, index};
use crate::work::graph::ReasonKind;
use crate::work::settings;
use crate::work::view::{View, text};

/// One limit, and how much of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// What it is a limit of.
    pub(super) kind: ReasonKind,
    /// How many sessions count.
    pub(super) running: u64,
    /// How many may.
    pub(super) most: u64,
}

impl Limit {
    const fn is_full(self) -> bool {
        self.running >= self.most
    }
}

/// Every limit of a town: counted when it is first asked for, and counted on as sessions are planned.
pub(super) struct Room<'a> {
    view: View<'a>,
    town: Limit,
    rigs: BTreeMap<RigName, Limit>,
    roles: BTreeMap<Role, Limit>,
    presets: BTreeMap<String, Limit>,
    role_max: BTreeMap<String, u64>,
    preset_max: BTreeMap<String, u64>,
}

impl<'a> Room<'a> {
    pub(super) fn of(view: View<'a>) -> Result<Self> {
        Ok(Self {
            view,
            town: Limit {
                kind: ReasonKind::TownLimit,
                running: view.count(&Scan::new(&index::AGENTS_BUSY, vec![], usize::MAX))?,
                most: settings::resolve(view, None, "sessions.max")?,
            },
            rigs: BTreeMap::new(),
            roles: BTreeMap::new(),
            presets: BTreeMap::new(),
            role_max: settings::resolve(view, None, "sessions.role_max")?,
            preset_max: settings::resolve(view, None, "sessions.preset_max")?,
        })
    }

    /// How many sessions may still begin in the town.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.town.most.saturating_sub(self.town.running)).unwrap_or(usize::MAX)
    }

    /// How many sessions there are in a rig.
    pub(super) fn running_in(&mut self, rig: &RigName) -> Result<u64> {
        Ok(self.rig(rig)?.running)
    }

    /// Those limits that leave no room for one more session.
    pub(super) fn full(&mut self, rig: &RigName, role: Role, preset: Option<&str>) -> Result<Vec<Limit>> {
        if mutant::lives(Mutant::LimitIgnored) {
            return Ok(Vec::new());
        }
        let limits = [Some(self.town), Some(self.rig(rig)?), self.role(role)?, self.preset(preset)?];
        Ok(limits.into_iter().flatten().filter(|limit| limit.is_full()).collect())
    }

    /// Counts one more session.
    pub(super) fn take(&mut self, rig: &RigName, role: Role, preset: Option<&str>) {
        self.town.running += 1;
        let preset = preset.and_then(|preset| self.presets.get_mut(preset));
        for limit in [self.rigs.get_mut(rig), self.roles.get_mut(&role), preset].into_iter().flatten() {
            limit.running += 1;
        }
    }

    fn rig(&mut self, rig: &RigName) -> Result<Limit> {
        if let Some(limit) = self.rigs.get(rig) {
            return Ok(*limit);
        }
        let limit = Limit {
            kind: ReasonKind::RigLimit,
            running: self.view.count(&Scan::new(&index::AGENTS_BUSY_BY_RIG, vec![rig.to_value()], usize::MAX))?,
            most: settings::resolve(self.view, Some(rig), "sessions.max")?,
        };
        self.rigs.insert(rig.clone(), limit);
        Ok(limit)
    }

    fn role(&mut self, role: Role) -> Result<Option<Limit>> {
        if let Some(limit) = self.roles.get(&role) {
            return Ok(Some(*limit));
        }
        let Some(&most) = self.role_max.get(role.as_str()) else { return Ok(None) };
        let scan = Scan::new(&index::AGENTS_BUSY_BY_ROLE, vec![text(role.as_str())], usize::MAX);
        let limit = Limit { kind: ReasonKind::RoleLimit, running: self.view.count(&scan)?, most };
        self.roles.insert(role, limit);
        Ok(Some(limit))
    }

    fn preset(&mut self, preset: Option<&str>) -> Result<Option<Limit>> {
        let Some(preset) = preset else { return Ok(None) };
        if let Some(limit) = self.presets.get(preset) {
            return Ok(Some(*limit));
        }
        let Some(&most) = self.preset_max.get(preset) else { return Ok(None) };
        let scan = Scan::new(&index::AGENTS_BUSY_BY_PRESET, vec![text(preset)], usize::MAX);
        let limit = Limit { kind: ReasonKind::PresetLimit, running: self.view.count(&scan)?, most };
        self.presets.insert(preset.to_owned(), limit);
        Ok(Some(limit))
    }
}

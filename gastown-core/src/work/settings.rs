//! Settings: what the town and its rigs may set, and one resolver (rig, then town, then default).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::txn::ScopedTxn;
use super::view::View;
use crate::model::{Error, Key, Result, RigName, RigRow, SettingRow};

/// One setting: its name, what it means, and a check of a value.
#[derive(Debug)]
pub struct Setting {
    /// The name, with the unit last.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The value where nobody set one, as JSON text.
    pub default: &'static str,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// A program and its arguments, or null.
    Command,
    /// Names and values.
    Environment,
    /// A whole number in this range.
    Number(u64, u64),
    /// A list of whole numbers, each in this range; not empty.
    Numbers(u64, u64),
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "agent.command",
        meaning: "program and arguments of a polecat",
        default: "null",
        shape: Shape::Command,
    },
    Setting {
        name: "agent.environment",
        meaning: "variables added to an agent's environment",
        default: "{}",
        shape: Shape::Environment,
    },
    Setting {
        name: "gate.command",
        meaning: "program and arguments run on each merge commit; none passes",
        default: "null",
        shape: Shape::Command,
    },
    Setting {
        name: "gate.timeout_ms",
        meaning: "longest run of the gate",
        default: "1800000",
        shape: Shape::Number(1, 86_400_000),
    },
    Setting {
        name: "session.timeout_ms",
        meaning: "longest run of a session",
        default: "7200000",
        shape: Shape::Number(1, 604_800_000),
    },
    Setting {
        name: "session.grace_ms",
        meaning: "time between asking a program to end and making it",
        default: "10000",
        shape: Shape::Number(0, 600_000),
    },
    Setting {
        name: "session.output_bytes_max",
        meaning: "captured output of a session; what comes after is counted and dropped",
        default: "67108864",
        shape: Shape::Number(4_096, 1 << 40),
    },
    Setting {
        name: "session.events_bytes_max",
        meaning: "captured structured events of a session, kept like its output; 0 gives an agent no file for them",
        default: "16777216",
        shape: Shape::Number(0, 1 << 40),
    },
    Setting {
        name: "output.keep_ms",
        meaning: "time for which the output of an ended session is kept",
        default: "604800000",
        shape: Shape::Number(0, 3_153_600_000_000),
    },
    Setting {
        name: "output.bytes_max",
        meaning: "captured output of the whole town; beyond it that of ended sessions goes, oldest first",
        default: "10737418240",
        shape: Shape::Number(0, 1 << 50),
    },
    Setting {
        name: "beads.keep_ms",
        meaning: "time for which closed and failed beads stay in the tables before the engine archives them; for ever where nobody says",
        default: "null",
        shape: Shape::Number(0, 3_153_600_000_000),
    },
    Setting {
        name: "events.keep_ms",
        meaning: "time for which the journal's entries stay in the tables before the engine archives them; for ever where nobody says",
        default: "null",
        shape: Shape::Number(0, 3_153_600_000_000),
    },
    Setting {
        name: "engine.lease_ms",
        meaning: "how long the engine's lease holds without being renewed: so long a dead one on another machine keeps the next from leading; read at its start",
        default: "90000",
        shape: Shape::Number(1_000, 3_600_000),
    },
    Setting {
        name: "sessions.max",
        meaning: "sessions at once, in the rig or in the town",
        default: "64",
        shape: Shape::Number(1, 100_000),
    },
    Setting {
        name: "failures.max",
        meaning: "failed attempts of a bead before it fails",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "failures.backoff_ms",
        meaning: "waits after the first, second, … failed attempt; the last one stands for all later ones",
        default: "[30000, 60000, 120000, 300000, 600000]",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "outages.max",
        meaning: "starts of a bead that the machine or the runtime refused before it is parked",
        default: "20",
        shape: Shape::Number(1, 100_000),
    },
    Setting {
        name: "reworks.max",
        meaning: "times the merge queue may send a bead back before it fails",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "landing.attempts_max",
        meaning: "merge commits made for one merge request because its target moved",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.attempts_max",
        meaning: "tries of one effect before it is refused",
        default: "8",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.backoff_ms",
        meaning: "waits after the first, second, … failed try of an effect; the last one stands for all later ones",
        default: "[200, 1000, 5000, 15000, 60000]",
        shape: Shape::Numbers(0, 86_400_000),
    },
];

/// New values by name; null takes a setting away.
pub type NewSettings = BTreeMap<String, Json>;

pub(crate) fn scope_of(rig: Option<&RigName>) -> String {
    rig.map_or_else(|| "town".to_owned(), |rig| format!("rig:{rig}"))
}

/// Sets the rig's or the town's own values.
pub(crate) fn configure(txn: &mut ScopedTxn<'_>, rig: Option<&RigName>, values: &NewSettings) -> Result<()> {
    if let Some(rig) = rig {
        txn.find::<RigRow>(&Key::rig(rig))?.ok_or_else(|| super::rigs::missing(rig))?;
    }
    let scope = scope_of(rig);
    for (name, value) in values {
        let setting = find(name)?;
        if value.is_null() {
            txn.delete(&Key::setting(&scope, name))?;
            continue;
        }
        setting.check(value)?;
        let updated_at = txn.now();
        txn.put(SettingRow { scope: scope.clone(), name: name.clone(), value: value.clone(), updated_at })?;
    }
    if !values.is_empty() {
        txn.event("settings.changed", &scope, json!({ "names": values.keys().collect::<Vec<_>>() }));
    }
    Ok(())
}

/// The value that holds for a rig: its own, else the town's, else the default.
///
/// A stored value that is not legal is passed over, so that it stops nothing; the checks when it was set make that rare.
pub(crate) fn resolve<T: DeserializeOwned>(view: View<'_>, rig: Option<&RigName>, name: &'static str) -> Result<T> {
    let setting = find(name)?;
    let scopes = [rig.map(|rig| scope_of(Some(rig))), Some("town".to_owned())];
    for scope in scopes.into_iter().flatten() {
        if let Some(row) = view.find::<SettingRow>(&Key::setting(&scope, name))?
            && setting.check(&row.value).is_ok()
            && let Ok(value) = serde_json::from_value(row.value)
        {
            return Ok(value);
        }
    }
    serde_json::from_str(setting.default).map_err(|source| {
        Error::internal("setting_default", format!("the default of {name} is not legal")).because(source)
    })
}

/// A setting in milliseconds as a duration.
pub(crate) fn duration(view: View<'_>, rig: Option<&RigName>, name: &'static str) -> Result<Duration> {
    resolve(view, rig, name).map(Duration::from_millis)
}

/// The wait after the `count`th failure (from 1) by a setting that lists waits.
pub(crate) fn backoff(view: View<'_>, rig: Option<&RigName>, name: &'static str, count: u32) -> Result<Duration> {
    let waits: Vec<u64> = resolve(view, rig, name)?;
    let at = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(waits.len().saturating_sub(1));
    Ok(Duration::from_millis(waits.get(at).copied().unwrap_or(0)))
}

fn find(name: &str) -> Result<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        Error::invalid("setting_unknown", format!("there is no setting {}", crate::model::id::excerpt(name)))
            .with("allowed", SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>().join(", "))
    })
}

impl Setting {
    fn check(&self, value: &Json) -> Result<()> {
        let text = |v: &Json| v.as_str().is_some_and(|s| !s.contains('\0'));
        let (legal, rule) = match self.shape {
            Shape::Command => (
                value.as_array().is_some_and(|list| {
                    !list.is_empty() && list.iter().all(text) && list[0].as_str().is_some_and(|p| !p.is_empty())
                }),
                "a list of texts: the program, then its arguments".to_owned(),
            ),
            Shape::Environment => (
                value
                    .as_object()
                    .is_some_and(|map| map.iter().all(|(k, v)| !k.is_empty() && !k.contains(['=', '\0']) && text(v))),
                "an object of texts; names without \"=\"".to_owned(),
            ),
            Shape::Number(least, most) => (
                value.as_u64().is_some_and(|n| (least..=most).contains(&n)),
                format!("a whole number from {least} to {most}"),
            ),
            Shape::Numbers(least, most) => (
                value.as_array().is_some_and(|list| {
                    !list.is_empty()
                        && list.len() <= 100
                        && list.iter().all(|v| v.as_u64().is_some_and(|n| (least..=most).contains(&n)))
                }),
                format!("a list of 1 to 100 whole numbers from {least} to {most}"),
            ),
        };
        if legal {
            return Ok(());
        }
        Err(Error::invalid("setting_value", format!("{} wants {rule}", self.name))
            .with("setting", self.name)
            .with("rule", rule)
            .with("found", crate::model::id::excerpt(&value.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_null_or_legal() {
        for setting in SETTINGS {
            let value: Json = serde_json::from_str(setting.default).unwrap();
            assert!(value.is_null() || setting.check(&value).is_ok(), "{}", setting.name);
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_rule() {
        for (name, value) in [
            ("gate.command", json!([])),
            ("gate.command", json!("make test")),
            ("agent.environment", json!({ "A=B": "c" })),
            ("sessions.max", json!(0)),
            ("sessions.max", json!(-1)),
            ("failures.backoff_ms", json!([])),
        ] {
            let error = find(name).unwrap().check(&value).unwrap_err();
            assert_eq!(error.code(), "setting_value");
            assert!(error.fact("rule").is_some());
        }
        assert_eq!(find("no.such").unwrap_err().code(), "setting_unknown");
    }
}

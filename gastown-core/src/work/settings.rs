//! Settings: what the town and its rigs may set, and one resolver (rig, then town, then default).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::txn::ScopedTxn;
use super::view::View;
use crate::model::{Error, ErrorKind, Key, Result, RigName, RigRow, Role, SettingRow};

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
    /// Exit codes from 1 to 255, each with how a session that ends with it ended.
    ExitCodes,
    /// A whole number in this range.
    Number(u64, u64),
    /// A list of whole numbers, each in this range; not empty.
    Numbers(u64, u64),
    /// A name, or null.
    Word,
    /// A number of at least 1 for each of some names.
    Limits,
    /// The same for roles.
    RoleLimits,
}

/// The longest name of a program in bytes.
const NAME_BYTES_MAX: usize = 100;

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
        name: "agent.exit_codes",
        meaning: "what an exit code of the agent's program means besides failed: rate_limited or auth_failed",
        default: "{}",
        shape: Shape::ExitCodes,
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
        name: "orphans.keep_ms",
        meaning: "time for which workspaces and branches of what is over are kept before the engine removes them",
        default: "604800000",
        shape: Shape::Number(0, 1 << 50),
    },
    Setting {
        name: "triage.open_max",
        meaning: "requests for somebody's judgement that are open at once; what comes beyond them is journaled",
        default: "5",
        shape: Shape::Number(0, 10_000),
    },
    Setting {
        name: "triage.crashes",
        meaning: "so many failures of the agent in a bead's sessions, and every so many more, somebody is asked to judge",
        default: "3",
        shape: Shape::Number(1, 1_000_000),
    },
    Setting {
        name: "drain.grace_ms",
        meaning: "how long sessions go on while the engine's host is drained, where nobody says otherwise",
        default: "300000",
        shape: Shape::Number(0, 604_800_000),
    },
    Setting {
        name: "session.start_timeout_ms",
        meaning: "longest try of a start; what comes up after it is taken by the next try, or stopped",
        default: "300000",
        shape: Shape::Number(1, 604_800_000),
    },
    Setting {
        name: "session.heartbeat_ms",
        meaning: "how often the runtime is asked whether a session lives",
        default: "30000",
        shape: Shape::Number(100, 86_400_000),
    },
    Setting {
        name: "session.lease_ms",
        meaning: "how long a session counts as alive after its runtime last said so; then it is lost",
        default: "90000",
        shape: Shape::Number(100, 86_400_000),
    },
    Setting {
        name: "progress.nudge_ms",
        meaning: "time without progress after which a session is poked",
        default: "900000",
        shape: Shape::Number(1, 604_800_000),
    },
    Setting {
        name: "progress.triage_ms",
        meaning: "time without progress after which somebody is asked to look at a session",
        default: "3600000",
        shape: Shape::Number(1, 604_800_000),
    },
    Setting {
        name: "progress.stop_ms",
        meaning: "time without progress after which a session is stopped",
        default: "7200000",
        shape: Shape::Number(1, 604_800_000),
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
        name: "sessions.role_max",
        meaning: "sessions at once in the town by the role of their agents; as many as there may be where a role is not named",
        default: "{}",
        shape: Shape::RoleLimits,
    },
    Setting {
        name: "sessions.preset_max",
        meaning: "sessions at once in the town by agent.preset; as many as there may be where a name is left out",
        default: "{}",
        shape: Shape::Limits,
    },
    Setting {
        name: "agent.preset",
        meaning: "name of the program that a rig's agents run, so that rigs may share a limit",
        default: "null",
        shape: Shape::Word,
    },
    Setting {
        name: "agents.pool_max",
        meaning: "polecats of a rig up to which the engine makes more where slung beads find none idle",
        default: "0",
        shape: Shape::Number(0, 10_000),
    },
    Setting {
        name: "agents.idle_ms",
        meaning: "time after which the engine puts an idle polecat away that it made",
        default: "86400000",
        shape: Shape::Number(0, 3_153_600_000_000),
    },
    Setting {
        name: "dispatch.ageing_ms",
        meaning: "waiting that counts as one step of priority among slung beads; with 0 it never does",
        default: "3600000",
        shape: Shape::Number(0, 31_536_000_000),
    },
    Setting {
        name: "failures.max",
        meaning: "attempts of a bead that failed because of the work before it fails",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "failures.backoff_ms",
        meaning: "waits after the first, second, … attempt that failed because of the work; the last one stands for all later ones",
        default: "[30000, 60000, 120000, 300000, 600000]",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "agent_failures.max",
        meaning: "attempts of a bead that failed because of the agent before it fails; as many as of the work where nobody says",
        default: "null",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "agent_failures.backoff_ms",
        meaning: "waits after the first, second, … attempt that failed because of the agent; those of failures.backoff_ms where nobody says",
        default: "null",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "outages.max",
        meaning: "attempts in a row that the machine, the runtime or the network broke off before the bead is parked; those that a breaker answers for do not count",
        default: "20",
        shape: Shape::Number(1, 100_000),
    },
    Setting {
        name: "outages.backoff_ms",
        meaning: "waits after the first, second, … attempt in a row that the machine, the runtime or the network broke off; those of failures.backoff_ms where nobody says",
        default: "null",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "auth_failures.max",
        meaning: "attempts in a row for which credentials were refused before the bead is parked; those that a breaker answers for do not count",
        default: "3",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "auth_failures.backoff_ms",
        meaning: "waits after the first, second, … attempt in a row for which credentials were refused; the last one stands for all later ones",
        default: "[60000, 300000, 900000]",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "backoff.jitter_percent",
        meaning: "how much longer a wait may be by chance, so that those who failed together do not come back together",
        default: "20",
        shape: Shape::Number(0, 100),
    },
    Setting {
        name: "breaker.failures",
        meaning: "failures of the outside world in a row after which no session is started any more: of a rig in the rig, of the runtime in the town",
        default: "5",
        shape: Shape::Number(1, 100_000),
    },
    Setting {
        name: "breaker.wait_ms",
        meaning: "waits of a breaker that opened the first, second, … time in a row before one session is tried; the last one stands for all later ones",
        default: "[60000, 120000, 300000, 600000, 1800000]",
        shape: Shape::Numbers(1, 86_400_000),
    },
    Setting {
        name: "breaker.probe_ms",
        meaning: "how long a session must live to count as well while it runs",
        default: "60000",
        shape: Shape::Number(1, 86_400_000),
    },
    Setting {
        name: "reworks.max",
        meaning: "times the merge queue may send a bead back before it fails",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "handoffs.max",
        meaning: "times a bead may be handed on from one session to the next",
        default: "50",
        shape: Shape::Number(0, 10_000),
    },
    Setting {
        name: "landing.attempts_max",
        meaning: "merge commits made for one merge request because its target moved",
        default: "5",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.attempts_max",
        meaning: "tries of one effect that may be well in a moment before it is given up",
        default: "8",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.backoff_ms",
        meaning: "waits after the first, second, … failed try of an effect; the last one stands for all later ones",
        default: "[200, 1000, 5000, 15000, 60000]",
        shape: Shape::Numbers(0, 86_400_000),
    },
    Setting {
        name: "effects.gone_attempts_max",
        meaning: "tries of one effect whose repository or branch is not there before it is given up",
        default: "4",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.auth_attempts_max",
        meaning: "tries of one effect for which credentials were refused before it is given up",
        default: "3",
        shape: Shape::Number(1, 1_000),
    },
    Setting {
        name: "effects.auth_backoff_ms",
        meaning: "waits after the first, second, … try of an effect for which credentials were refused; the last one stands for all later ones",
        default: "[1000, 10000, 60000]",
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
/// A stored value that is not legal or cannot be read is passed over, so that it stops nothing; the checks when it was set make that rare.
pub(crate) fn resolve<T: DeserializeOwned>(view: View<'_>, rig: Option<&RigName>, name: &'static str) -> Result<T> {
    let setting = find(name)?;
    let scopes = [rig.map(|rig| scope_of(Some(rig))), Some("town".to_owned())];
    for scope in scopes.into_iter().flatten() {
        let row = match view.find::<SettingRow>(&Key::setting(&scope, name)) {
            // `health` tells of it.
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            found => found?,
        };
        if let Some(row) = row
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
    let waits: Option<Vec<u64>> = resolve(view, rig, name)?;
    let waits = match waits {
        Some(waits) => waits,
        None => resolve(view, rig, "failures.backoff_ms")?,
    };
    let at = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(waits.len().saturating_sub(1));
    Ok(Duration::from_millis(waits.get(at).copied().unwrap_or(0)))
}

/// The same, longer by a chance that the settings bound and the command's seed decides.
pub(crate) fn jittered(
    txn: &mut ScopedTxn<'_>,
    rig: Option<&RigName>,
    name: &'static str,
    count: u32,
) -> Result<Duration> {
    let wait = backoff(txn.view(), rig, name, count)?;
    let percent: u32 = resolve(txn.view(), rig, "backoff.jitter_percent")?;
    let most = u64::try_from((wait * percent / 100).as_millis()).unwrap_or(u64::MAX);
    let chance = if most == 0 { 0 } else { txn.ids().next_u64() % (most + 1) };
    Ok(wait + Duration::from_millis(chance))
}

/// Whether it is an object of limits whose names are legal.
fn limits(value: &Json, is_name: impl Fn(&str) -> bool) -> bool {
    let is_limit = |limit: &Json| limit.as_u64().is_some_and(|n| (1..=100_000).contains(&n));
    value.as_object().is_some_and(|map| map.iter().all(|(name, limit)| is_name(name) && is_limit(limit)))
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
            Shape::ExitCodes => (
                value.as_object().is_some_and(|map| {
                    map.iter().all(|(code, exit)| {
                        code.parse::<u8>().is_ok_and(|n| n > 0 && n.to_string() == *code)
                            && matches!(exit.as_str(), Some("rate_limited" | "auth_failed" | "failed"))
                    })
                }),
                "an object of exit codes from 1 to 255, each rate_limited, auth_failed or failed".to_owned(),
            ),
            Shape::Number(least, most) => (
                value.as_u64().is_some_and(|n| (least..=most).contains(&n)),
                format!("a whole number from {least} to {most}"),
            ),
            Shape::Word => (
                value
                    .as_str()
                    .is_some_and(|word| (1..=NAME_BYTES_MAX).contains(&word.len()) && !word.contains(char::is_control)),
                format!("a name of 1 to {NAME_BYTES_MAX} bytes"),
            ),
            Shape::Limits => (limits(value, |name| !name.is_empty()), "an object of whole numbers from 1".to_owned()),
            Shape::RoleLimits => (
                limits(value, |name| Role::ALL.iter().any(|role| role.as_str() == name)),
                format!(
                    "an object of whole numbers from 1 for {}",
                    Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
                ),
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

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_value_that_is_damaged_or_not_legal_is_passed_over() {
        use crate::model::{Scope, Timestamp, TownId};
        use crate::store::{Access, Backend as _, SqliteBackend, SqliteOptions};
        use crate::work::command;
        use crate::work::txn::Ctx;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("town.db");
        let backend = SqliteBackend::new(&path, SqliteOptions::default());
        let (town, now) = (TownId::new("town").unwrap(), Timestamp::from_micros(1));
        let mut connection = backend.connect(Access::Write).unwrap();
        let mut raw = connection.write(&town).unwrap();
        let values = NewSettings::from([("sessions.max".to_owned(), json!(3))]);
        command::step(&mut *raw, &Ctx::at(now, 1), "test", |txn| configure(txn, None, &values)).unwrap();
        raw.commit().unwrap();
        let resolved = |connection: &mut dyn crate::store::Connection| -> u64 {
            let reader = connection.read(&town).unwrap();
            resolve(View::new(&*reader, &Scope::Town, now), None, "sessions.max").unwrap()
        };
        assert_eq!(resolved(&mut *connection), 3);
        for damage in ["{", "0", "null", "\"three\""] {
            let db = rusqlite::Connection::open(&path).unwrap();
            assert_eq!(db.execute("UPDATE setting SET value = ?1", [damage]).unwrap(), 1);
            assert_eq!(resolved(&mut *connection), 64, "{damage}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_rule() {
        for (name, value) in [
            ("gate.command", json!([])),
            ("gate.command", json!("make test")),
            ("agent.environment", json!({ "A=B": "c" })),
            ("agent.exit_codes", json!({ "0": "failed" })),
            ("agent.exit_codes", json!({ "075": "rate_limited" })),
            ("agent.exit_codes", json!({ "75": "succeeded" })),
            ("sessions.max", json!(0)),
            ("sessions.max", json!(-1)),
            ("failures.backoff_ms", json!([])),
            ("agent.preset", json!("")),
            ("sessions.preset_max", json!({ "claude": 0 })),
            ("sessions.role_max", json!({ "polecat": "many" })),
            ("sessions.role_max", json!({ "polecats": 1 })),
        ] {
            let error = find(name).unwrap().check(&value).unwrap_err();
            assert_eq!(error.code(), "setting_value");
            assert!(error.fact("rule").is_some());
        }
        assert_eq!(find("no.such").unwrap_err().code(), "setting_unknown");
    }
}

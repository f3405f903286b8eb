//! Ids and names of all sorts.

use super::{check_refusal, text_of};
use crate::interchange::Time;
use crate::model::{AgentName, BeadId, EffectId, Oid, RigName, SessionId, TownId};

/// What is an id is safe as a folder's name, as an argument and in SQL, and is itself again however it is kept.
pub(super) fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    check(&text, BeadId::new(&*text), BeadId::as_str);
    check(&text, SessionId::new(&*text), SessionId::as_str);
    check(&text, EffectId::new(&*text), EffectId::as_str);
    check(&text, RigName::new(&*text), RigName::as_str);
    check(&text, AgentName::new(&*text), AgentName::as_str);
    check(&text, TownId::new(&*text), TownId::as_str);
    check(&text, Oid::new(&*text), Oid::as_str);
    if let Ok(id) = BeadId::new(&*text)
        && let Ok(part) = BeadId::new(format!("{id}.1"))
    {
        assert_eq!(part.as_str().rsplit_once('.'), Some((id.as_str(), "1")));
    }
    if let Some(time) = Time::parse(&text) {
        assert_eq!(Time::parse(&time.to_string()).unwrap().at, time.at, "{text:?}");
    }
}

fn check<T>(text: &str, parsed: crate::Result<T>, as_str: fn(&T) -> &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    match parsed {
        Ok(id) => {
            assert_eq!(as_str(&id), text);
            let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '#');
            assert!(text.chars().all(is_safe) && !text.contains("..") && !text.starts_with(['-', '.']), "{text:?}");
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), id);
        }
        Err(error) => {
            check_refusal(&error, &["id_malformed", "name_malformed", "oid_malformed"]);
            assert!(serde_json::from_value::<T>(serde_json::Value::from(text)).is_err(), "{text:?}");
        }
    }
}

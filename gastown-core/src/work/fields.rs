//! What a bead's fields may hold.

use serde_json::Value as Json;

use crate::model::id::excerpt;
use crate::model::{Error, Result, Timestamp};

/// The longest title in bytes.
pub(crate) const TITLE_BYTES_MAX: usize = 500;
/// The longest of the four texts in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;
/// The largest metadata object in bytes of JSON.
pub(crate) const METADATA_BYTES_MAX: usize = 1 << 18;
/// The most labels of one bead.
pub(crate) const LABELS_MAX: usize = 200;
/// The longest reason for closing a bead in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 64 << 10;
/// The longest name of a bead elsewhere in bytes.
pub(crate) const EXTERNAL_REF_BYTES_MAX: usize = 500;
/// The longest name of a specification in bytes.
pub(crate) const SPEC_ID_BYTES_MAX: usize = 1_024;
/// The longest comment in bytes.
pub(crate) const COMMENT_BYTES_MAX: usize = 256 << 10;
/// The longest label in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 200;

pub(crate) fn check_title(title: &str) -> Result<()> {
    let legal = !title.trim().is_empty() && title.len() <= TITLE_BYTES_MAX && !title.contains(['\n', '\r', '\0']);
    if legal {
        return Ok(());
    }
    Err(Error::invalid("title_malformed", format!("{} cannot be a title", excerpt(title)))
        .with("field", "title")
        .with("bytes", title.len())
        .with("rule", format!("one line of 1 to {TITLE_BYTES_MAX} bytes without NUL, not only spaces")))
}

pub(crate) fn check_priority(priority: u32) -> Result<()> {
    if priority <= 4 {
        return Ok(());
    }
    Err(Error::invalid("priority_out_of_range", format!("a priority is 0 to 4, not {priority}"))
        .with("field", "priority")
        .with("found", priority))
}

pub(crate) fn check_word(field: &'static str, word: &str) -> Result<()> {
    let legal = !word.trim().is_empty() && word.len() <= LABEL_BYTES_MAX && !word.contains(char::is_control);
    if legal {
        return Ok(());
    }
    Err(Error::invalid("word_malformed", format!("{} cannot be {field}", excerpt(word)))
        .with("field", field)
        .with("bytes", word.len())
        .with("rule", format!("1 to {LABEL_BYTES_MAX} bytes without control characters")))
}

pub(crate) fn check_text(field: &'static str, value: &str) -> Result<()> {
    if value.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid("text_too_long", format!("{field} has {} bytes, more than {TEXT_BYTES_MAX}", value.len()))
        .with("field", field)
        .with("bytes", value.len())
        .with("bytes_max", TEXT_BYTES_MAX))
}

pub(crate) fn check_reason(reason: Option<&str>) -> Result<()> {
    let bytes = reason.map_or(0, str::len);
    if bytes <= REASON_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid("reason_too_long", format!("the reason has {bytes} bytes, more than {REASON_BYTES_MAX}"))
        .with("bytes", bytes)
        .with("bytes_max", REASON_BYTES_MAX))
}

pub(crate) fn check_time(field: &'static str, time: Option<Timestamp>) -> Result<()> {
    match time {
        Some(time) if !time.is_in_calendar() => {
            let said = format!("{field} is outside the years 0 to 9999");
            Err(Error::invalid("time_out_of_range", said).with("field", field).with("micros", time.as_micros()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_external_ref(external_ref: Option<&str>) -> Result<()> {
    let Some(found) = external_ref else { return Ok(()) };
    if found.len() <= EXTERNAL_REF_BYTES_MAX && !found.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid("external_ref_malformed", format!("{} cannot be an external reference", excerpt(found)))
        .with("bytes", found.len())
        .with("rule", format!("at most {EXTERNAL_REF_BYTES_MAX} bytes without control characters")))
}

pub(crate) fn check_spec_id(spec_id: Option<&str>) -> Result<()> {
    let Some(found) = spec_id else { return Ok(()) };
    if !found.is_empty() && found.len() <= SPEC_ID_BYTES_MAX && !found.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid("spec_id_malformed", format!("{} cannot name a specification", excerpt(found)))
        .with("bytes", found.len())
        .with("rule", format!("1 to {SPEC_ID_BYTES_MAX} bytes without control characters")))
}

pub(crate) fn check_comment(text: &str) -> Result<()> {
    if !text.trim().is_empty() && text.len() <= COMMENT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid("comment_malformed", format!("a comment has 1 to {COMMENT_BYTES_MAX} bytes"))
        .with("bytes", text.len())
        .with("bytes_max", COMMENT_BYTES_MAX))
}

pub(crate) fn check_labels(labels: &[String]) -> Result<()> {
    if labels.len() > LABELS_MAX {
        return Err(too_many_labels());
    }
    for label in labels {
        check_word("label", label)?;
        if label.starts_with("gt:") {
            return Err(Error::invalid("label_reserved", format!("the label {} is the engine's", excerpt(label)))
                .with("rule", "labels of the prefix gt: are the engine's"));
        }
    }
    Ok(())
}

pub(crate) fn too_many_labels() -> Error {
    Error::invalid("too_many_labels", format!("a bead has at most {LABELS_MAX} labels")).with("labels_max", LABELS_MAX)
}

pub(crate) fn check_metadata(metadata: &Json) -> Result<()> {
    let Some(map) = metadata.as_object() else {
        return Err(Error::invalid("metadata_malformed", "metadata is an object"));
    };
    if let Some(key) = map.keys().find(|key| key.starts_with("gt:")) {
        return Err(Error::invalid("metadata_reserved", format!("the key {} is the engine's", excerpt(key)))
            .with("rule", "keys of the prefix gt: are the engine's"));
    }
    check_size(metadata)
}

pub(crate) fn check_size(metadata: &Json) -> Result<()> {
    let bytes = metadata.to_string().len();
    if bytes <= METADATA_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid("metadata_too_large", format!("metadata has {bytes} bytes, more than {METADATA_BYTES_MAX}"))
        .with("bytes", bytes)
        .with("bytes_max", METADATA_BYTES_MAX))
}

//! Long texts that both sides wrote.

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The stronger side's.
    Strong,
    /// The other side's.
    Weak,
    /// Both, one after the other.
    Joined(String),
    /// The two cannot stand together.
    Conflict,
}

/// Brings a text together. What both wrote at the end of the same text is joined, the older first; where `is_log` is set, so is
/// anything else.
pub(super) fn merge(base: &str, weak: &str, strong: &str, is_log: bool) -> Outcome {
    if weak == strong || weak == base {
        return Outcome::Strong;
    }
    if strong == base {
        return Outcome::Weak;
    }
    if (!base.is_empty() || is_log)
        && let (Some(of_weak), Some(of_strong)) = (weak.strip_prefix(base), strong.strip_prefix(base))
    {
        if holds(of_strong, of_weak) {
            return Outcome::Strong;
        }
        if holds(of_weak, of_strong) {
            return Outcome::Weak;
        }
        return Outcome::Joined(join(weak, of_strong));
    }
    if !is_log {
        return Outcome::Conflict;
    }
    if holds(strong, weak) {
        return Outcome::Strong;
    }
    if holds(weak, strong) {
        return Outcome::Weak;
    }
    Outcome::Joined(join(weak, strong))
}

/// Whether a text holds another as whole lines.
fn holds(text: &str, part: &str) -> bool {
    let part = part.trim();
    if part.is_empty() {
        return true;
    }
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        let begins = before.trim_end_matches([' ', '\t']);
        let ends = after.trim_start_matches([' ', '\t', '\r']);
        (begins.is_empty() || begins.ends_with('\n')) && (ends.is_empty() || ends.starts_with('\n'))
    })
}

fn join(first: &str, second: &str) -> String {
    let gap = if first.ends_with('\n') || second.starts_with('\n') { "" } else { "\n" };
    format!("{first}{gap}{second}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_append_is_joined_once() {
        let Outcome::Joined(both) = merge("log", "log\none", "log\ntwo", false) else { panic!("not joined") };
        assert_eq!(both, "log\none\ntwo");
        assert_eq!(merge("log", "log\none", &both, false), Outcome::Strong);
        assert_eq!(merge("log", &both, "log\ntwo", false), Outcome::Weak);
    }

    #[test]
    fn a_rewritten_text_is_a_conflict_and_a_rewritten_log_is_not() {
        assert_eq!(merge("a", "b", "c", false), Outcome::Conflict);
        assert_eq!(merge("", "b", "c", false), Outcome::Conflict);
        assert_eq!(merge("a", "b", "c", true), Outcome::Joined("b\nc".into()));
    }
}

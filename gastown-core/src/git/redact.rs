//! Removes secrets from what git prints.

/// How well-known tokens begin.
const TOKENS: [&str; 8] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-"];
/// What is followed by a secret, in lower case.
const LABELS: [&str; 7] = [
    "authorization: basic ",
    "authorization: bearer ",
    "access_token=",
    "private_token=",
    "password=",
    "token=",
    "oauth2:",
];

/// Replaces credentials in addresses, well-known tokens and authorisation headers by `***`.
///
/// The plain user of an `ssh://` address stays; every other user information of an address goes.
pub fn redact(text: &str) -> String {
    let text = redact_addresses(text);
    let text = LABELS.iter().fold(text, |text, label| redact_after(&text, label, true));
    TOKENS.iter().fold(text, |text, token| redact_after(&text, token, false))
}

fn redact_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rfind('@') {
            Some(user) if !before.ends_with("ssh://") || authority[..user].contains(':') => {
                out.push_str("***");
                out.push_str(&authority[user..]);
            }
            _ => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Replaces the run of token characters behind each occurrence of `label`, whatever its case.
fn redact_after(text: &str, label: &str, keep_label: bool) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(label) {
        let start = from + found;
        let secret = start + label.len();
        let length = text[secret..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~' | '%')))
            .unwrap_or(text.len() - secret);
        out.push_str(&text[from..if keep_label { secret } else { start }]);
        if length > 0 || !keep_label {
            out.push_str("***");
        }
        from = secret + length;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn credentials_disappear_from_what_git_prints() {
        for (from, to) in [
            (
                "fatal: unable to access 'https://bob:s3cret@host/x.git/'",
                "fatal: unable to access 'https://***@host/x.git/'",
            ),
            ("https://ghp_0123456789abcdef@github.com/a/b", "https://***@github.com/a/b"),
            ("ssh://git@host/x stays", "ssh://git@host/x stays"),
            ("ssh://git:pw@host/x", "ssh://***@host/x"),
            ("https://a:b@c@host/x", "https://***@host/x"),
            ("Authorization: Bearer abc.def-1 next", "Authorization: Bearer *** next"),
            ("see ghs_AbC123 there", "see *** there"),
            ("https://host/x?access_token=abc&b=1", "https://host/x?access_token=***&b=1"),
            ("nothing to hide: main -> main", "nothing to hide: main -> main"),
        ] {
            assert_eq!(redact(from), to);
        }
    }
}

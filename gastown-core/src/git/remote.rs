//! Addresses of remotes.

use std::fmt;
use std::path::Path;

use super::redact::redact;
use crate::model::{Error, Result};

const BYTES_MAX: usize = 2_048;
const RULE: &str = "an absolute path, file:///path, https://host/path, ssh://user@host/path or user@host:path, without a password or token";

/// Where a rig's remote is. It never holds a secret.
///
/// Plain `http://` is accepted for this machine's own loopback addresses only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteUrl(String);

impl RemoteUrl {
    /// Parses the text; the error `remote_malformed` names the rule and never repeats a secret.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let refused = |why: &'static str| {
            let found: String = redact(&text).chars().take(100).collect();
            Err(Error::invalid("remote_malformed", format!("{found:?} is not a remote: {why}"))
                .with("found", format!("{found:?}"))
                .with("why", why)
                .with("rule", RULE))
        };
        if text.is_empty() || text.len() > BYTES_MAX {
            return refused("its length is wrong");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) && !text.starts_with('/') {
            return refused("it contains spaces or control characters");
        }
        if text.chars().any(char::is_control) {
            return refused("it contains control characters");
        }
        if text.starts_with('-') {
            return refused("it looks like an option");
        }
        match check(&text) {
            Ok(()) => Ok(Self(text)),
            Err(why) => refused(why),
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder, where the remote is one of this machine.
    pub fn local_path(&self) -> Option<&Path> {
        let path = self.0.strip_prefix("file://").unwrap_or(&self.0);
        path.starts_with('/').then(|| Path::new(path))
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.starts_with('/') {
        return Ok(());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "file" if rest.starts_with('/') && !rest.contains('%') => Ok(()),
            "file" => Err("a file address needs three slashes and no escapes"),
            "https" => check_authority(rest, false),
            "http" => {
                check_authority(rest, false)?;
                if is_loopback(rest) { Ok(()) } else { Err("plain http is for loopback addresses only") }
            }
            "ssh" => check_authority(rest, true),
            _ => Err("its scheme is not known"),
        };
    }
    if text.contains("::") {
        return Err("it names a remote helper");
    }
    let Some((place, path)) = text.split_once(':') else { return Err("a path must be absolute") };
    let Some((user, host)) = place.split_once('@') else { return Err("the user of user@host:path is missing") };
    if path.is_empty() || path.starts_with('-') {
        return Err("its path is empty or looks like an option");
    }
    check_user(user)?;
    check_host(host)
}

fn check_authority(rest: &str, user_allowed: bool) -> Result<(), &'static str> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.is_empty() || path.starts_with('/') || path.starts_with('-') {
        return Err("its path is empty or odd");
    }
    let place = match authority.rsplit_once('@') {
        Some(_) if !user_allowed => return Err("it holds credentials"),
        Some((user, _)) if user.contains(':') => return Err("it holds credentials"),
        Some((user, place)) => {
            check_user(user)?;
            place
        }
        None => authority,
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => {
            let (host, tail) = v6.split_once(']').ok_or("its host is malformed")?;
            let legal = host.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if host.is_empty() || !legal {
                return Err("its host is malformed");
            }
            (None, if tail.is_empty() { None } else { Some(tail.strip_prefix(':').ok_or("its port is malformed")?) })
        }
        None => match place.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(place), None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("its port is malformed");
    }
    host.map_or(Ok(()), check_host)
}

fn check_user(user: &str) -> Result<(), &'static str> {
    let legal = user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if legal { Ok(()) } else { Err("its user is malformed") }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let legal = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if legal { Ok(()) } else { Err("its host is empty or malformed") }
}

fn is_loopback(rest: &str) -> bool {
    let place = rest.split('/').next().unwrap_or_default();
    let host = if place.starts_with('[') {
        place.split_inclusive(']').next().unwrap_or_default()
    } else {
        place.split(':').next().unwrap_or_default()
    };
    host == "localhost" || host == "[::1]" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for RemoteUrl {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for RemoteUrl {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<RemoteUrl> for String {
    fn from(url: RemoteUrl) -> Self {
        url.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_remotes_are_refused_without_repeating_the_secret() {
        for bad in [
            "",
            "relative/path",
            "--upload-pack=touch x;false",
            "ext::sh -c id",
            "ext::sh",
            "fd::3",
            "http://example.com/x",
            "ftp://host/x",
            "https:///host/x",
            "https://host",
            "https://user:hunter2@host/x",
            "https://hunter2@host/x",
            "ssh://-oProxyCommand=id/x",
            "ssh://git:hunter2@host/x",
            "ssh://host:99999/x",
            "-x@host:path",
            "git@-host:path",
            "git@host:-path",
            "git@host:",
            "host:path",
            "file://host/x",
            "https://ho st/x",
            "https://host/x\ny",
            "/a\nb",
            "https://host\\x/y",
            "http://127.0.0.1.evil.example/x",
        ] {
            let error = RemoteUrl::new(bad).expect_err(bad);
            assert_eq!(error.code(), "remote_malformed", "{bad:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn usual_remotes_are_accepted() {
        for (good, local) in [
            ("/srv/git/x.git", Some("/srv/git/x.git")),
            ("/srv/with space", Some("/srv/with space")),
            ("file:///srv/git/x.git", Some("/srv/git/x.git")),
            ("https://github.com/a/b.git", None),
            ("https://host:8443/a", None),
            ("ssh://git@github.com/a/b.git", None),
            ("ssh://[::1]:22/a", None),
            ("git@github.com:a/b.git", None),
            ("http://127.0.0.1:8080/hub.git", None),
            ("http://[::1]:8080/hub.git", None),
        ] {
            let url = RemoteUrl::new(good).expect(good);
            assert_eq!(url.local_path(), local.map(Path::new));
        }
    }
}

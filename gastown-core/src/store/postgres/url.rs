//! Where the database is and how it is used, from a URL. A password is in none of what this tells.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::model::{Error, Result};
use crate::store::READERS_MAX;

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the traffic is encrypted, whoever answers.
    Anybody,
    /// That an authority we trust signed it.
    Authority,
    /// The same, and that it names the host.
    Host,
}

/// Where the roots of trust come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

/// What a URL says.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) config: Config,
    /// None where nothing is encrypted.
    pub(super) trust: Option<Trust>,
    pub(super) roots: Roots,
    pub(super) schema: String,
    pub(super) readers: Option<usize>,
    pub(super) lock_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) recover_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) is_durable: bool,
    /// How many bytes of rows the writer keeps.
    pub(super) rows_bytes: usize,
}

/// The parameters that go to the client as they are.
const OF_CLIENT: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "sslnegotiation",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// The parameters that are read here.
const OF_US: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "keepalives_count",
    "tcp_user_timeout",
    "schema",
    "readers",
    "lock_timeout_ms",
    "answer_timeout_ms",
    "recover_timeout_ms",
    "idle_timeout_ms",
    "durability",
    "rows_kib",
];

/// How long connecting may take where the URL does not say it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest name of a schema, so that the channel named after it is a name as well.
const SCHEMA_MAX: usize = 50;

impl Place {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(Error::invalid("store_url", "a URL of Postgres begins with postgres://"));
        }
        let (front, query) = url.split_once('?').unwrap_or((url, ""));
        // The client would take what is behind the first for the host, and hosts are told.
        if front.matches('@').count() > 1 {
            return Err(Error::invalid(
                "store_url",
                "the URL of the database has more than one @, which a user and a password write as %40",
            ));
        }
        // What may be the rest of a password that was not written as URLs are is not told.
        if query.contains('@') {
            return Err(unreadable());
        }
        let has_password = query.split('&').any(|pair| pair.starts_with("password="));
        let mut kept = String::new();
        let mut given: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_plain(name)) else {
                return Err(unreadable());
            };
            if OF_CLIENT.contains(&name) {
                kept.push(if kept.is_empty() { '?' } else { '&' });
                kept.push_str(pair);
            } else if let Some(name) = OF_US.iter().copied().find(|known| *known == name) {
                given.push((name, decoded(value).ok_or_else(|| refused(name, "is not written as URLs are"))?));
            } else if has_password {
                return Err(unreadable());
            } else {
                return Err(refused(name, "is no parameter").with("allowed", [OF_CLIENT, OF_US].concat().join(", ")));
            }
        }
        let config: Config = format!("{front}{kept}").parse().map_err(|source: tokio_postgres::Error| {
            // Its source names the place of the mistake, and no value.
            Error::invalid("store_url", "the URL of the database cannot be read").because(source)
        })?;
        let mut place = Self {
            config,
            trust: Some(Trust::Anybody),
            roots: Roots::System,
            schema: "gastown".to_owned(),
            readers: None,
            lock_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            recover_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(8),
            is_durable: true,
            rows_bytes: 8 << 20,
        };
        place.fill();
        for (name, value) in &given {
            place.take(name, value)?;
        }
        place.settle_trust(&given)?;
        if place.config.get_hosts().is_empty() && place.config.get_hostaddrs().is_empty() {
            return Err(Error::invalid("store_url", "the URL of the database names no host"));
        }
        if place.config.get_user().is_none() {
            return Err(Error::invalid("store_url", "the URL of the database names no user"));
        }
        Ok(place)
    }

    /// What is good to have where the URL says nothing.
    fn fill(&mut self) {
        if self.config.get_application_name().is_none() {
            self.config.application_name("gastown");
        }
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(CONNECT_TIMEOUT);
        }
        // A server that is no more is noticed in a minute, not in hours.
        self.config.keepalives_idle(Duration::from_secs(30));
        self.config.keepalives_interval(Duration::from_secs(10));
        self.config.keepalives_retries(3);
        self.config.tcp_user_timeout(Duration::from_secs(30));
    }

    /// How long a server may take until it is connected, greeted and has let us in: so long for each host that is named.
    pub(super) fn connect_timeout(&self) -> Duration {
        let hosts = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        each.saturating_mul(hosts.try_into().unwrap_or(u32::MAX)).min(self.answer_timeout)
    }

    fn take(&mut self, name: &'static str, value: &str) -> Result<()> {
        let number = || value.parse::<u32>().map_err(|_| refused(name, "is a whole number"));
        let millis = || {
            let wanted = number()?;
            if wanted == 0 {
                return Err(refused(name, "is at least 1"));
            }
            Ok(Duration::from_millis(wanted.into()))
        };
        match name {
            "sslrootcert" if value == "system" => self.roots = Roots::System,
            "sslrootcert" => self.roots = Roots::File(value.into()),
            "keepalives_count" => drop(self.config.keepalives_retries(number()?)),
            "tcp_user_timeout" => drop(self.config.tcp_user_timeout(millis()?)),
            "schema" => self.schema = schema(value)?,
            "readers" => match number()? as usize {
                readers @ 1..=READERS_MAX => self.readers = Some(readers),
                _ => return Err(refused(name, &format!("is 1 to {READERS_MAX}"))),
            },
            "lock_timeout_ms" => self.lock_timeout = millis()?,
            "answer_timeout_ms" => self.answer_timeout = millis()?,
            "recover_timeout_ms" => self.recover_timeout = millis()?,
            "idle_timeout_ms" => self.idle_timeout = millis()?,
            "rows_kib" => self.rows_bytes = (number()? as usize).saturating_mul(1_024),
            "durability" => {
                self.is_durable = match value {
                    "full" => true,
                    "normal" => false,
                    _ => return Err(refused(name, "is full or normal")),
                }
            }
            // `settle_trust` reads it.
            _ => {}
        }
        Ok(())
    }

    /// As other clients of Postgres do: `require` with an authority named checks it; a system's authorities know hosts.
    fn settle_trust(&mut self, given: &[(&'static str, String)]) -> Result<()> {
        let of = |wanted: &str| given.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let names_roots = of("sslrootcert").is_some();
        let (mode, trust) = match of("sslmode") {
            None if of("sslrootcert") == Some("system") => (SslMode::Require, Some(Trust::Host)),
            Some("disable") => (SslMode::Disable, None),
            None | Some("prefer") => (SslMode::Prefer, Some(Trust::Anybody)),
            Some("require") if names_roots => (SslMode::Require, Some(Trust::Authority)),
            Some("require") => (SslMode::Require, Some(Trust::Anybody)),
            Some("verify-ca") => (SslMode::Require, Some(Trust::Authority)),
            Some("verify-full") => (SslMode::Require, Some(Trust::Host)),
            Some(_) => {
                return Err(refused("sslmode", "is disable, prefer, require, verify-ca or verify-full"));
            }
        };
        self.config.ssl_mode(mode);
        self.trust = trust;
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = self.config.get_ports().get(n).or(self.config.get_ports().first()) {
                write!(f, ":{port}")?;
            }
        }
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        write!(f, "/{database}?schema={}", self.schema)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The refusal of a query that is not one, perhaps because it is the rest of a password.
fn unreadable() -> Error {
    Error::invalid(
        "store_url",
        "the URL of the database cannot be read behind its ?; a password writes ? as %3F, @ as %40 and & as %26",
    )
}

/// A refusal that names the parameter and never its value, which may be a password in the wrong place.
fn refused(name: &str, why: &str) -> Error {
    let name = crate::model::id::excerpt(name);
    Error::invalid("store_url", format!("in the URL of the database {name} {why}")).with("parameter", name)
}

fn schema(name: &str) -> Result<String> {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    let goes_on = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let is_theirs = name.starts_with("pg_") || name == "information_schema";
    if !begins || !goes_on || is_theirs || name.len() > SCHEMA_MAX {
        return Err(refused("schema", "is a name of a-z, 0-9 and _, of at most 50 characters, not one of Postgres"));
    }
    Ok(name.to_owned())
}

/// The value with its `%XX` replaced; none where that is not text.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = tail.get(..2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> Error {
        let error = Place::parse(url).expect_err(url);
        assert_eq!(error.code(), "store_url", "{url}");
        error
    }

    #[test]
    fn a_url_says_where_and_how() {
        let place = Place::parse(
            "postgres://mayor:s3cret@db.example:6432/work?sslmode=verify-full&sslrootcert=%2Ftmp%2Fca.pem&schema=harbour\
             &readers=4&lock_timeout_ms=250&durability=normal&application_name=yard&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(place.to_string(), "postgres://mayor@db.example:6432/work?schema=harbour");
        assert_eq!(place.trust, Some(Trust::Host));
        assert_eq!(place.roots, Roots::File("/tmp/ca.pem".into()));
        assert_eq!((place.readers, place.lock_timeout, place.is_durable), (Some(4), Duration::from_millis(250), false));
        assert_eq!(place.config.get_application_name(), Some("yard"));
        assert_eq!(place.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(place.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn what_a_url_leaves_out_has_a_default() {
        let place = Place::parse("postgresql://mayor@localhost/work").unwrap();
        assert_eq!((place.schema.as_str(), place.readers, place.is_durable), ("gastown", None, true));
        assert_eq!((place.trust, place.config.get_ssl_mode()), (Some(Trust::Anybody), SslMode::Prefer));
        assert_eq!(Place::parse("postgres://m@h/d?sslmode=disable").unwrap().trust, None);
        let by_system = Place::parse("postgres://m@h/d?sslrootcert=system").unwrap();
        assert_eq!((by_system.trust, by_system.config.get_ssl_mode()), (Some(Trust::Host), SslMode::Require));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (url, parameter) in [
            ("postgres://m@h/d?colour=red", Some("\"colour\"")),
            ("postgres://m@h/d?sslmode=maybe", Some("\"sslmode\"")),
            ("postgres://m@h/d?readers=0", Some("\"readers\"")),
            ("postgres://m@h/d?readers=65", Some("\"readers\"")),
            ("postgres://m@h/d?readers=4294967295", Some("\"readers\"")),
            ("postgres://m@h/d?readers=many", Some("\"readers\"")),
            ("postgres://m@h/d?schema=Harbour", Some("\"schema\"")),
            ("postgres://m@h/d?schema=pg_catalog", Some("\"schema\"")),
            ("postgres://m@h/d?schema=a%22b", Some("\"schema\"")),
            ("postgres://m@h/d?schema=%zz", Some("\"schema\"")),
            ("postgres://m@h/d?readers", None),
            ("postgres://m@h/d?durability=none", Some("\"durability\"")),
            ("postgres://m@h:port/d", None),
            ("postgres://h/d", None),
            ("postgres:///d?user=m", None),
            ("mysql://m@h/d", None),
            ("", None),
        ] {
            assert_eq!(refusal(url).fact("parameter"), parameter, "{url}");
        }
    }

    #[test]
    fn a_password_is_told_to_nobody() {
        let place = Place::parse("postgres://m:s3cret@h/d?password=s3cret").unwrap();
        assert!(!format!("{place} {place:?} {:?}", place.config).contains("s3cret"));
        for url in [
            "postgres://m:s3cret@h:x/d",
            "postgres://m:s3cret@h/d?x=s3cret",
            "postgres://m@h/d?connect_timeout=s3cret",
            "postgres://m@h/d?port=s3cret",
            "postgres://m@h/d?readers=s3cret",
            "mysql://m:s3cret@h/d",
            "postgres://m:a?s3cret@h/d",
            "postgres://m:a@b?s3cret@h/d",
            "postgres://m:a?s3cret=x@h/d",
            "postgres://m:a?s3cret=x&b@h/d",
            "postgres://m:a?schema=s3cret&b@h/d",
            "postgres://m:a@s3cret@h/d",
            "postgres://m:a@s3cret/b@h/d",
            "postgres://m:a/b@s3cret@h/d",
            "postgres://m:a#b@s3cret@h/d",
            "postgres://m:a@s3cret,b@h/d",
            "postgres://m:s3cret/d?user=m",
            "postgres://h/d?user=m&password=a&s3cret=x",
            "postgres://h/d?user=m&password=a&s3cret",
        ] {
            let error = refusal(url);
            assert!(!format!("{error} {error:?} {}", error.chain()).contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_second_at_sign_is_refused_with_how_it_is_written() {
        let error = refusal("postgres://mayor:s3c@ret@db.example/work");
        assert!(error.to_string().contains("%40"), "{error}");
        let told = format!("{error} {error:?} {}", error.chain());
        assert!(["mayor", "s3c", "ret@", "example", "work"].iter().all(|part| !told.contains(part)), "{told}");
        let written = Place::parse("postgres://mayor:s3c%40ret@db.example/work").unwrap();
        assert_eq!(written.config.get_password(), Some(&b"s3c@ret"[..]));
        assert_eq!(written.to_string(), "postgres://mayor@db.example:5432/work?schema=gastown");
    }

    #[test]
    fn what_else_a_password_holds_stays_the_password() {
        for password in ["s3/cret", "s3#cret", "s3:cret", "s3[cret", "s3&cret=x", "s3,cret"] {
            let place = Place::parse(&format!("postgres://m:{password}@h/d")).unwrap();
            assert_eq!(place.config.get_password(), Some(password.as_bytes()));
            assert_eq!(format!("{place} {place:?}"), ["postgres://m@h:5432/d?schema=gastown"; 2].join(" "));
        }
    }
}

//! What a town is opened with, as data.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::builder::{TownBuilder, durability_unused};
use crate::model::{Error, Result};
use crate::store::MemoryBackend;

/// What a town is opened with, where that is data: from a configuration, or from a caller in another language.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TownOptions {
    /// The town's name; `town` where it is left out.
    pub id: Option<String>,
    /// Whether the town is made also where the database holds others already: see [`TownBuilder::create`].
    pub create: Option<bool>,
    /// Where the town is kept: `sqlite` (where it is left out) for `town.db` in its folder, `memory`, or the `postgres://`
    /// URL of a database (with the feature `postgres`), which may hold a password and is told to nobody.
    pub store: Option<String>,
    /// `full` (where it is left out): what was answered survives a loss of power. `normal`: it survives a kill; with
    /// Postgres, one of the town's process, not of the server. It stands before what a URL says; with `memory` and with
    /// a host's own backend it is refused.
    pub durability: Option<String>,
    /// Ids are made from this seed instead of a random one.
    pub seed: Option<u64>,
    /// The name of the machine that this process is on: see [`TownBuilder::host`].
    pub host: Option<String>,
    /// A backup or an export that the town is made from: see [`TownBuilder::restore`].
    pub restore: Option<PathBuf>,
    /// The keys that tokens are signed with, as [`KeyRing::to_text`](crate::auth::KeyRing::to_text) gives them and `keys.json` of a town's
    /// folder holds them; those in the town's folder where they are left out. A secret, told to nobody.
    pub keys: Option<String>,
    /// The `gastown` program, which supervises sessions.
    pub program: Option<PathBuf>,
    /// Where `program` is left out, the folder to look for it in before the `PATH`; not one of the data.
    #[serde(skip)]
    pub beside: Option<PathBuf>,
}

impl fmt::Debug for TownOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, create, store, durability, seed, host, restore, keys, program, beside } = self;
        // A URL may hold a password.
        let store = store.as_deref().map(|store| store.split(':').next().unwrap_or_default());
        f.debug_struct("TownOptions")
            .field("id", id)
            .field("create", create)
            .field("store", &store)
            .field("durability", durability)
            .field("seed", seed)
            .field("host", host)
            .field("restore", restore)
            .field("keys", &keys.as_ref().map(|_| "…"))
            .field("program", program)
            .field("beside", beside)
            .finish()
    }
}

impl TownOptions {
    /// Reads them from a JSON object.
    ///
    /// # Errors
    /// `input_malformed` with what is wrong where.
    pub fn from_json(options: Json) -> Result<Self> {
        serde_json::from_value(options).map_err(|source| {
            Error::invalid("input_malformed", format!("opening a town wants TownOptions: {source}"))
                .with("input", "TownOptions")
                .because(source)
        })
    }
}

impl TownBuilder {
    /// Takes what is given in `options` and leaves the rest.
    ///
    /// # Errors
    /// `durability_unknown`, `durability_unused`; `keys_malformed`, `key_malformed`; `program_missing` where `program` is no file; `store_unknown`, `store_url` and
    /// `store_unsupported` for a store that there is not, cannot be read, or was left out of this build.
    pub fn options(mut self, options: TownOptions) -> Result<Self> {
        if let Some(id) = &options.id {
            self = self.id(id);
        }
        if let Some(create) = options.create {
            self = self.create(create);
        }
        if let Some(seed) = options.seed {
            self = self.seed(seed);
        }
        self.host = options.host.or(self.host);
        let is_full = options.durability.as_deref().map(is_full).transpose()?;
        self.restore = options.restore.or(self.restore);
        #[cfg(feature = "sqlite")]
        if let Some(is_full) = is_full {
            self.sqlite.durability =
                if is_full { crate::store::Durability::Full } else { crate::store::Durability::Normal };
        }
        self.durability_unused |= is_full.is_some();
        if let Some(keys) = options.keys {
            #[cfg(feature = "auth")]
            {
                self = self.keys(crate::auth::KeyRing::from_text(&keys)?);
            }
            #[cfg(not(feature = "auth"))]
            {
                drop(keys);
                return Err(left_out("keys"));
            }
        }
        match options.store.as_deref() {
            None => {}
            Some("sqlite") if cfg!(feature = "sqlite") => self.backend = None,
            Some("memory") if is_full.is_some() => return Err(durability_unused("memory")),
            Some("memory") => self = self.backend(Arc::new(MemoryBackend::new())),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                self = self.postgres(url, is_full)?;
                self.durability_unused = false;
            }
            Some("sqlite") => return Err(left_out("SQLite")),
            Some(_) => {
                return Err(Error::invalid(
                    "store_unknown",
                    "the store is neither sqlite, memory nor a postgres:// URL",
                )
                .with("allowed", "sqlite, memory, postgres://"));
            }
        }
        #[cfg(all(feature = "git", feature = "process"))]
        {
            self.beside = options.beside.or(self.beside);
            if let Some(program) = options.program {
                if !program.is_file() {
                    return Err(Error::invalid(
                        "program_missing",
                        format!("{} is not the gastown program", program.display()),
                    )
                    .with("path", program.display()));
                }
                self = self.supervisor(crate::runtime::Supervisor::program(program));
            }
        }
        Ok(self)
    }

    #[cfg(feature = "postgres")]
    fn postgres(self, url: &str, is_full: Option<bool>) -> Result<Self> {
        let mut backend = crate::store::PostgresBackend::new(url)?;
        if let Some(is_full) = is_full {
            backend = backend.with_full_durability(is_full);
        }
        Ok(self.backend(Arc::new(backend)))
    }

    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn postgres(self, _url: &str, _is_full: Option<bool>) -> Result<Self> {
        Err(left_out("Postgres"))
    }
}

fn left_out(name: &str) -> Error {
    Error::unsupported("store_unsupported", format!("this build knows no {name}"))
}

fn is_full(durability: &str) -> Result<bool> {
    match durability {
        "full" => Ok(true),
        "normal" => Ok(false),
        other => {
            let found = crate::model::id::excerpt(other);
            Err(Error::invalid("durability_unknown", format!("{found} is no durability"))
                .with("found", found)
                .with("allowed", "full, normal"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Town;

    #[test]
    fn options_are_read_strictly() {
        let options = TownOptions::from_json(json!({ "id": "harbour", "seed": 7 })).unwrap();
        assert_eq!(options, TownOptions { id: Some("harbour".into()), seed: Some(7), ..TownOptions::default() });
        let error = TownOptions::from_json(json!({ "beside": "/" })).unwrap_err();
        assert!(
            !error.to_string()[20..].contains("one of `beside`") && !error.to_string().contains(", `beside`"),
            "{error}"
        );
        for wrong in [json!({ "colour": "red" }), json!({ "seed": -1 }), json!("x")] {
            assert_eq!(TownOptions::from_json(wrong).unwrap_err().code(), "input_malformed");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let builder = |options: Json| Town::builder("x").options(TownOptions::from_json(options).unwrap());
        assert_eq!(builder(json!({ "store": "oracle" })).unwrap_err().code(), "store_unknown");
        #[cfg(feature = "postgres")]
        assert_eq!(builder(json!({ "store": "postgres://x?y=z" })).unwrap_err().code(), "store_url");
        #[cfg(not(feature = "postgres"))]
        assert_eq!(builder(json!({ "store": "postgres://m@h/d" })).unwrap_err().code(), "store_unsupported");
        assert_eq!(builder(json!({ "durability": "none" })).unwrap_err().code(), "durability_unknown");
        let unused = builder(json!({ "store": "memory", "durability": "full" })).unwrap_err();
        assert_eq!((unused.code(), unused.fact("backend")), ("durability_unused", Some("memory")));
        #[cfg(all(feature = "git", feature = "process"))]
        assert_eq!(builder(json!({ "program": "/no/such/program" })).unwrap_err().code(), "program_missing");
        let legal = builder(json!({ "durability": "normal", "id": "t" })).unwrap();
        assert_eq!(legal.id.unwrap().as_str(), "t");
    }

    #[tokio::test]
    async fn a_durability_that_the_given_backend_does_not_take_is_refused_at_opening() {
        let dir = tempfile::tempdir().unwrap();
        let durable = || TownOptions::from_json(json!({ "durability": "normal" })).unwrap();
        let (builder, backend) = (|| Town::builder(dir.path()), || Arc::new(MemoryBackend::new()));
        let given_last = builder().options(durable()).unwrap().backend(backend());
        let given_first = builder().backend(backend()).options(durable()).unwrap();
        for given in [given_last, given_first] {
            let error = given.open().await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Invalid, "durability_unused"));
        }
    }

    #[test]
    fn a_store_is_chosen_by_its_name_or_url_and_its_password_is_told_to_nobody() {
        let options = |store: &str| TownOptions::from_json(json!({ "store": store })).unwrap();
        let chosen = |store: &str| Town::builder("x").options(options(store)).unwrap().backend.map(|b| b.name());
        assert_eq!(chosen("memory"), Some("memory"));
        #[cfg(feature = "sqlite")]
        assert_eq!(chosen("sqlite"), None);
        let url = "postgres://mayor:s3cret@h/d";
        #[cfg(feature = "postgres")]
        assert_eq!(chosen(url), Some("postgres"));
        let told = format!("{:?} {:?}", options(url), Town::builder("x").options(options(url)).map_err(|e| e.chain()));
        assert!(!told.contains("s3cret"), "{told}");
    }
}

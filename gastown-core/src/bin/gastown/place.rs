//! Where the town is: opened here, or behind the socket of the process that has it open.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gastown_core::model::SecretText;
use gastown_core::runtime::CAPABILITY_FILE_VAR;
use gastown_core::socket::message::Principal;
use gastown_core::socket::{Client, SOCKET_VAR, socket_path};
use gastown_core::{Error, Result, Town};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::environment::variable;

/// The most that is read of a token's file: more than any token has.
const TOKEN_FILE_BYTES_MAX: u64 = 16 << 10;

/// How a town is named.
#[derive(Args, Debug, Default)]
pub(crate) struct Where {
    /// Open the town of this folder in this process, as its operator
    #[arg(long, global = true, value_name = "FOLDER", conflicts_with = "town")]
    pub(crate) db: Option<PathBuf>,
    /// Call the town of this folder, which another process has open, with a token
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) town: Option<PathBuf>,
    /// The private file of the token; else the one that GASTOWN_CAPABILITY_FILE names
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// With --db: make the town where there is none
    #[arg(long, global = true, requires = "db")]
    pub(crate) make: bool,
    /// Give up after so many milliseconds
    #[arg(long, global = true, value_name = "MS", default_value_t = 60_000)]
    pub(crate) deadline_ms: u64,
    /// Makes a repeat of a change harmless: the same key again gives the first answer
    #[arg(long, global = true)]
    pub(crate) key: Option<String>,
}

/// A town that can be called.
pub(crate) struct Place {
    way: Way,
    within: Duration,
    key: Option<String>,
}

enum Way {
    Here { town: Town, tokio: Runtime },
    There(Box<Client>),
}

impl Place {
    pub(crate) fn find(named: &Where) -> Result<Self> {
        let within = Duration::from_millis(named.deadline_ms);
        let way = match (&named.db, &named.town, variable(SOCKET_VAR)) {
            (Some(db), ..) => open(db, named.make)?,
            (None, Some(town), _) => Way::There(connect(&socket_path(town), named, within)?),
            (None, None, Some(socket)) => Way::There(connect(Path::new(&socket), named, within)?),
            (None, None, None) => {
                let said = "say which town: --db FOLDER, or --town FOLDER with --token-file FILE";
                return Err(Error::invalid("town_unnamed", said));
            }
        };
        Ok(Self { way, within, key: named.key.clone() })
    }

    /// Runs an operation.
    pub(crate) fn call(&mut self, operation: &str, input: Json) -> Result<Json> {
        match &mut self.way {
            Way::There(client) => client.call(operation, input, self.key.as_deref(), self.within),
            Way::Here { town, tokio } => {
                let handle = town.operator();
                let handle = self.key.as_ref().map_or_else(|| handle.clone(), |key| handle.with_key(key));
                let called = async { tokio::time::timeout(self.within, handle.call(operation, input)).await };
                tokio.block_on(called).unwrap_or_else(|_| {
                    let said = format!("{operation} took longer than {} ms", self.within.as_millis());
                    Err(Error::exhausted("deadline_exceeded", said).with("operation", operation))
                })
            }
        }
    }

    /// Who calls; none where the town is opened here.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        match &self.way {
            Way::There(client) => Some(&client.welcome().principal),
            Way::Here { .. } => None,
        }
    }

    /// The town itself; none where another process has it.
    pub(crate) fn here(&self) -> Option<(&Town, &Runtime)> {
        match &self.way {
            Way::Here { town, tokio } => Some((town, tokio)),
            Way::There(_) => None,
        }
    }

    /// Closes what was opened.
    pub(crate) fn close(self) -> Result<()> {
        match self.way {
            Way::Here { town, tokio } => tokio.block_on(town.close()),
            Way::There(_) => Ok(()),
        }
    }
}

fn open(db: &Path, make: bool) -> Result<Way> {
    let folder = if db.file_name().is_some_and(|name| name == "town.db") { db.parent().unwrap_or(db) } else { db };
    // One that lost what it held is not taken for one that is to begin.
    let holds_something = folder.join("town.db").metadata().is_ok_and(|found| found.is_file() && found.len() > 0);
    if !make && !holds_something {
        let said = format!("there is no town in {}", folder.display());
        return Err(Error::not_found("town_missing", said).with("path", folder.display()));
    }
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.map_err(|source| {
        Error::unavailable("runtime_unusable", "the operating system gave no means to wait with").because(source)
    })?;
    let town = tokio.block_on(Town::builder(folder).from_env().open())?;
    Ok(Way::Here { town, tokio })
}

fn connect(socket: &Path, named: &Where, within: Duration) -> Result<Box<Client>> {
    let file = named.token_file.clone().or_else(|| variable(CAPABILITY_FILE_VAR).map(PathBuf::from));
    let file = file.ok_or_else(|| {
        let said = format!("say which token: --token-file FILE, or {CAPABILITY_FILE_VAR}");
        Error::invalid("token_unnamed", said)
    })?;
    let mut token = String::new();
    let read = File::open(&file).and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token));
    read.map_err(|source| {
        let said = format!("the token's file {} cannot be read", file.display());
        Error::unavailable("token_unreadable", said).with("path", file.display()).because(source)
    })?;
    Ok(Box::new(Client::connect(socket, &SecretText::new(token.trim()), within)?))
}

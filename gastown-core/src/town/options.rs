//! What a town is opened with, as data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::builder::TownBuilder;
use crate::model::{Error, Result};

/// What a town is opened with, where that is data: from a configuration, or from a caller in another language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TownOptions {
    /// The town's name; `town` where it is left out.
    pub id: Option<String>,
    /// `full` (where it is left out): what was answered survives a loss of power. `normal`: it survives a kill.
    pub durability: Option<String>,
    /// Ids are made from this seed instead of a random one.
    pub seed: Option<u64>,
    /// A backup or an export that the town is made from: see [`TownBuilder::restore`].
    pub restore: Option<PathBuf>,
    /// The `gastown` program, which supervises sessions.
    pub program: Option<PathBuf>,
    /// Where `program` is left out, the folder to look for it in before the `PATH`.
    pub beside: Option<PathBuf>,
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
    /// `durability_unknown`; `program_missing` where `program` is no file.
    pub fn options(mut self, options: TownOptions) -> Result<Self> {
        if let Some(id) = &options.id {
            self = self.id(id);
        }
        if let Some(seed) = options.seed {
            self = self.seed(seed);
        }
        self.restore = options.restore.or(self.restore);
        #[cfg(feature = "sqlite")]
        if let Some(durability) = &options.durability {
            self.sqlite.durability = match durability.as_str() {
                "full" => crate::store::Durability::Full,
                "normal" => crate::store::Durability::Normal,
                other => {
                    let found = crate::model::id::excerpt(other);
                    return Err(Error::invalid("durability_unknown", format!("{found} is no durability"))
                        .with("found", found)
                        .with("allowed", "full, normal"));
                }
            };
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
        for wrong in [json!({ "colour": "red" }), json!({ "seed": -1 }), json!("x")] {
            assert_eq!(TownOptions::from_json(wrong).unwrap_err().code(), "input_malformed");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let builder = |options: Json| Town::builder("x").options(TownOptions::from_json(options).unwrap());
        #[cfg(feature = "sqlite")]
        assert_eq!(builder(json!({ "durability": "none" })).unwrap_err().code(), "durability_unknown");
        #[cfg(all(feature = "git", feature = "process"))]
        assert_eq!(builder(json!({ "program": "/no/such/program" })).unwrap_err().code(), "program_missing");
        let legal = builder(json!({ "durability": "normal", "id": "t" })).unwrap();
        assert_eq!(legal.id.unwrap().as_str(), "t");
    }
}

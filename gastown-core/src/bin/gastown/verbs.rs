//! The verbs, each an operation of the town with its input.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gastown_core::socket::message::Principal;
use gastown_core::{Error, Result};
use serde_json::{Map, Value as Json, json};

use super::prime;
use super::table::Shape::{self, Record, Table};

const BEADS: &[&str] = &["id", "status", "priority", "rig", "assignee", "title"];

/// What is asked of a town and how its answer is shown.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) operation: String,
    pub(crate) input: Json,
    pub(crate) shape: Shape,
}

/// Which beads.
#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// In this rig
    #[arg(long)]
    rig: Option<String>,
    /// With all of these labels
    #[arg(long = "label")]
    labels: Vec<String>,
    /// Held by this one
    #[arg(long)]
    assignee: Option<String>,
    /// At least as urgent as this; 0 is the most urgent
    #[arg(long, value_name = "PRIORITY")]
    priority_max: Option<u32>,
    /// At most so many
    #[arg(long)]
    limit: Option<usize>,
    /// Go on behind an earlier page
    #[arg(long)]
    cursor: Option<String>,
}

/// A new bead.
#[derive(Args, Debug)]
pub(crate) struct New {
    title: String,
    /// What and why
    #[arg(long)]
    description: Option<String>,
    #[arg(long)]
    rig: Option<String>,
    /// 0 critical to 4 backlog
    #[arg(long)]
    priority: Option<u32>,
    /// task, bug, feature, …
    #[arg(long = "type", value_name = "TYPE")]
    issue_type: Option<String>,
    #[arg(long = "label")]
    labels: Vec<String>,
    #[arg(long)]
    parent: Option<String>,
    /// It waits for this bead
    #[arg(long = "depends-on", value_name = "BEAD")]
    depends_on: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Leave something for the next session of your bead; the last counts
    Checkpoint {
        data: String,
        /// DATA is JSON and not a text
        #[arg(long)]
        data_json: bool,
    },
    /// End this session and have a fresh one go on with the bead, from the commits there are
    Handoff {
        /// What it is to know; an earlier checkpoint stays where it is left out
        data: Option<String>,
        /// DATA is JSON and not a text
        #[arg(long)]
        data_json: bool,
    },
    /// What an agent does with beads: its own where none is named
    #[command(subcommand)]
    Bead(BeadVerb),
    /// How the town stands
    Status,
    /// List beads, or those that a query finds
    #[command(
        after_help = "Examples:\n  gastown --db town beads --status open --label harbour\n  gastown --db town beads \
                            --query 'priority < 2 and not label:later'"
    )]
    Beads {
        #[command(flatten)]
        filter: Filter,
        /// In this status
        #[arg(long)]
        status: Option<String>,
        /// A query in words, instead of the other conditions
        #[arg(long, conflicts_with_all = ["rig", "labels", "assignee", "priority_max", "status"])]
        query: Option<String>,
    },
    /// List what could be worked on now, most urgent first
    Ready(Filter),
    /// Show a bead, whole
    Show { id: String },
    /// Create a bead
    #[command(after_help = "Example:\n  gastown --db town create 'Raise the mast' --rig harbour --depends-on ha-1")]
    Create(New),
    /// Say what waits for what
    #[command(subcommand)]
    Dep(DepVerb),
    /// Convoys: beads that come home together
    #[command(subcommand)]
    Convoy(ConvoyVerb),
    /// Give a bead to an agent and have it run
    Sling {
        id: String,
        /// This agent; any of the rig where it is left out
        #[arg(long, value_name = "AGENT")]
        to: Option<String>,
    },
    /// Why a bead is ready, or what keeps it
    Explain { id: String },
    /// What keeps the town from working, and what mends it
    Doctor {
        /// Mend what can be mended
        #[arg(long)]
        repair: bool,
    },
    /// Copy the town to a new folder while it works on
    Backup { folder: PathBuf },
    /// Take in beads from files of `bd` and `br`, or of an export
    Import {
        path: PathBuf,
        #[arg(long)]
        rig: Option<String>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take in all or nothing
        #[arg(long)]
        strict: bool,
    },
    /// Write the beads into a file as `bd` and `br` know them
    Export {
        path: PathBuf,
        /// Write over a file that is there
        #[arg(long)]
        replace: bool,
    },
    /// Run any operation; `gastown operations` lists them
    #[command(after_help = "Example:\n  gastown --db town call beads.get '{\"id\": \"gt-a3f9k\"}'")]
    Call {
        operation: String,
        /// Its input
        #[arg(default_value = "{}")]
        input: String,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum BeadVerb {
    /// Show a bead, whole
    Show { id: Option<String> },
    /// Say something to those who read a bead
    Comment {
        text: String,
        #[arg(long, value_name = "BEAD")]
        id: Option<String>,
    },
    /// Read what was said
    Comments {
        id: Option<String>,
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Create a bead
    Create(New),
}

#[derive(Subcommand, Debug)]
pub(crate) enum DepVerb {
    /// A bead waits for another one
    Add { bead: String, on: String },
    /// It waits for it no more
    Remove { bead: String, on: String },
    /// What a bead waits for, and that in turn
    Tree {
        id: String,
        #[arg(long)]
        depth: Option<usize>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConvoyVerb {
    /// List them
    List,
    /// Show one
    Show { id: String },
    /// Try again to land one that needs attention
    Land { id: String },
}

fn ask(operation: &str, input: Json, shape: Shape) -> Ask {
    // What was not said is left to the operation.
    let input = match input {
        Json::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|it| !it.is_empty()))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    };
    Ask { operation: operation.to_owned(), input, shape }
}

impl Filter {
    fn input(self) -> Json {
        let Self { rig, labels, assignee, priority_max, limit, cursor } = self;
        json!({ "rig": rig, "labels": labels, "assignee": assignee, "priority_max": priority_max, "limit": limit,
            "cursor": cursor })
    }
}

impl New {
    /// An agent's is in its rig where none is named.
    fn ask(self, own: Option<&Principal>) -> Ask {
        let Self { title, description, rig, priority, issue_type, labels, parent, depends_on } = self;
        let rig = rig.or_else(|| own.and_then(|own| own.rig.clone()));
        let input = json!({ "title": title, "description": description, "rig": rig, "priority": priority,
            "issue_type": issue_type, "labels": labels, "parent": parent, "depends_on": depends_on });
        ask("beads.create", input, Record)
    }
}

impl Verb {
    /// What it asks, of a caller that is this one; none where it is the operator.
    pub(crate) fn ask(self, own: Option<&Principal>) -> Result<Ask> {
        Ok(match self {
            Self::Checkpoint { data, data_json } => {
                ask("sessions.checkpoint", prime::left(Some(data), data_json)?.into(), Record)
            }
            Self::Handoff { data, data_json } => ask("sessions.handoff", prime::left(data, data_json)?.into(), Record),
            Self::Bead(verb) => verb.ask(own)?,
            Self::Status => ask("upkeep.status", json!({}), Record),
            Self::Beads { query: Some(query), filter, .. } => {
                let input = json!({ "query": query, "limit": filter.limit, "cursor": filter.cursor });
                ask("beads.query", input, Table("beads", BEADS))
            }
            Self::Beads { filter, status, .. } => {
                let mut input = filter.input();
                input["status"] = json!(status);
                ask("beads.list", input, Table("beads", BEADS))
            }
            Self::Ready(filter) => ask("beads.ready", filter.input(), Table("beads", BEADS)),
            Self::Show { id } => ask("beads.get", json!({ "id": id }), Record),
            Self::Create(new) => new.ask(own),
            Self::Dep(verb) => verb.ask(),
            Self::Convoy(ConvoyVerb::List) => {
                ask("convoys.list", json!({}), Table("convoys", &["id", "state", "rig", "title", "reason"]))
            }
            Self::Convoy(ConvoyVerb::Show { id }) => ask("convoys.get", json!({ "id": id }), Record),
            Self::Convoy(ConvoyVerb::Land { id }) => ask("convoys.land", json!({ "id": id }), Record),
            Self::Sling { id, to } => ask("beads.sling", json!({ "bead": id, "to": to }), Record),
            Self::Explain { id } => {
                let columns = &["reason", "bead", "other", "status", "by", "until", "text"];
                ask("beads.explain", json!({ "id": id }), Table("reasons", columns))
            }
            Self::Doctor { repair } => {
                let columns = &["kind", "subject", "problem", "remedy", "is_repaired"];
                ask("upkeep.doctor", json!({ "repair": repair }), Table("symptoms", columns))
            }
            Self::Backup { folder } => ask("upkeep.backup", json!({ "path": absolute(&folder)? }), Record),
            Self::Import { path, rig, dry_run, strict } => {
                let input = json!({ "path": absolute(&path)?, "rig": rig, "dry_run": dry_run, "strict": strict });
                ask("beads.import_from", input, Record)
            }
            Self::Export { path, replace } => {
                ask("beads.export_to", json!({ "path": absolute(&path)?, "replace": replace }), Record)
            }
            Self::Call { operation, input } => {
                let input = serde_json::from_str(&input)
                    .map_err(|source| Error::invalid("input_malformed", "the input is no JSON").because(source))?;
                Ask { operation, input, shape: Record }
            }
        })
    }
}

impl BeadVerb {
    fn ask(self, own: Option<&Principal>) -> Result<Ask> {
        let named = |id: Option<String>| {
            id.or_else(|| own.and_then(|own| own.bead.clone()))
                .ok_or_else(|| Error::invalid("bead_unnamed", "who is no agent names a bead"))
        };
        Ok(match self {
            Self::Show { id } => ask("beads.get", json!({ "id": named(id)? }), Record),
            Self::Comment { text, id } => ask("beads.comment", json!({ "bead": named(id)?, "text": text }), Record),
            Self::Comments { id, cursor } => {
                let input = json!({ "bead": named(id)?, "cursor": cursor });
                ask("beads.comments", input, Table("comments", &["created_at", "author", "text"]))
            }
            Self::Create(new) => new.ask(own),
        })
    }
}

impl DepVerb {
    fn ask(self) -> Ask {
        let edge = |bead, on| json!({ "bead": bead, "on_bead": on });
        match self {
            Self::Add { bead, on } => ask("beads.link", edge(bead, on), Record),
            Self::Remove { bead, on } => ask("beads.unlink", edge(bead, on), Record),
            Self::Tree { id, depth } => {
                let shape = Table("nodes", &["depth", "id", "via", "kind", "counted"]);
                ask("beads.dependencies", json!({ "id": id, "depth": depth }), shape)
            }
        }
    }
}

/// The town's process is in another folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|source| Error::invalid("path_malformed", format!("{} is no path", path.display())).because(source))
}

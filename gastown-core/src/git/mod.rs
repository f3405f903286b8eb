//! Git: one runner for the git program, a bare mirror for each rig, a repository of its own for each session.
//!
//! libgit2 reads, merges and moves refs in this process; the git program does what needs a network, a pack or a lease.
//! Neither ever runs where an agent may write the configuration that is read: a workspace is only read through its
//! object files and one ref, both copied without following links. Every future here may be dropped; a git program that
//! was running is then killed with its whole group, and what it had begun is either absent or whole.
//!
//! | file | holds |
//! |---|---|
//! | `version`, `options`, `command`, `runner` | the git program: its version, settings, one call, how it is run and ended |
//! | `failure`, `redact` | what went wrong, as typed errors without secrets |
//! | `name`, `remote`, `inspect` | branch names, remote addresses, what a remote is like before it becomes a rig |
//! | `mirror`, `fetch`, `refs`, `stale` | the rig's bare mirror, how it follows the remote, its branches and kept commits, what a kill left |
//! | `workspace`, `fill`, `remove` | a session's repository, its files, its end |
//! | `collect`, `salvage`, `save` | bringing an agent's commits home, and what it had not committed, without trusting its repository |
//! | `merge`, `publish` | merges computed in the object store, and compare-and-swap at the remote |
//! | `repository` | the port: what the executor uses of all this |

mod collect;
mod command;
mod failure;
mod fetch;
mod fill;
mod inspect;
mod library;
mod locked;
mod merge;
mod mirror;
mod name;
mod options;
mod publish;
mod redact;
mod refs;
mod remote;
mod remove;
mod repository;
mod runner;
mod salvage;
mod save;
mod stale;
#[cfg(test)]
mod tests;
mod version;
mod workspace;

pub use command::{GitCommand, GitOutput};
pub use fetch::FetchReport;
pub use inspect::{RemoteFacts, inspect_remote};
pub use merge::{MergeOutcome, MergeSpec};
pub use mirror::Mirror;
pub use name::BranchName;
pub use options::GitOptions;
pub use publish::{DeleteOutcome, PublishOutcome};
pub use redact::redact;
pub use refs::CommitRange;
pub use remote::RemoteUrl;
pub use repository::{Mirrors, Repositories, Repository};
pub use runner::GitRunner;
pub use save::SaveSpec;
pub use version::GitVersion;
pub use workspace::{Person, WorkspaceSpec};

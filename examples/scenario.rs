//! A town at work: twelve tasks become commits on the target branch of a repository.

use std::path::Path;
use std::process::Command;

use gastown_core::model::{AgentName, RigName};
use gastown_core::{AddRig, BeadFilter, RegisterAgent, Result, SessionFilter, SlingConvoy, Task, Town};

/// An agent is any program that commits on its branch and ends with 0. This one fails at its first try of the sails.
const WORKER: &str = r#"set -e
[ "$GASTOWN_TITLE" != "sew the sails" ] || [ "$GASTOWN_FAILURES" != 0 ] || exit 1
echo done > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE""#;
#[rustfmt::skip]
const TASKS: &[(&str, &[usize])] = &[
    ("lay the keel", &[]), ("bend the ribs", &[0]), ("cut the planks", &[0]), ("close the hull", &[1, 2]),
    ("raise the mast", &[3]), ("set the shrouds", &[4]), ("sew the sails", &[5]), ("twist the ropes", &[]),
    ("forge the anchor", &[7]), ("mix the paint", &[]), ("load the stores", &[]), ("launch", &[3, 6, 8, 9, 10]),
];

/// A bare repository with one commit on `main`.
fn make_origin(folder: &Path) -> String {
    let who = ["-c", "user.name=Tess", "-c", "user.email=tess@example.org", "-c", "init.defaultBranch=main"];
    for line in ["init -q seed", "-C seed commit -q --allow-empty -m Begin", "clone -q --bare seed origin.git"] {
        let made = Command::new("git").args(who).args(line.split(' ')).current_dir(folder).status();
        assert!(made.is_ok_and(|status| status.success()), "git {line}");
    }
    folder.join("origin.git").display().to_string()
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let town = Town::builder(folder.path().join("town")).from_env().open().await?;
    let (operator, harbour) = (town.operator(), RigName::new("harbour")?);
    let mut rig = AddRig::new(harbour.clone(), make_origin(folder.path()));
    rig.settings.insert("agent.command".into(), ["sh", "-c", WORKER].as_slice().into());
    rig.settings.insert("failures.backoff_ms".into(), [0].as_slice().into());
    operator.rigs().add(rig).await?;
    for name in ["ash", "elm", "fir", "oak"] {
        operator.agents().register(RegisterAgent::polecat(AgentName::new(name)?, harbour.clone())).await?;
    }
    let tasks = TASKS.iter().map(|(title, after)| Task::new(*title, *after)).collect();
    let convoy = operator.convoys().sling(SlingConvoy::new("a ship", harbour, tasks)).await?;
    town.start().await?;
    let mut journal = operator.events().watch(0)?;
    while !["convoy.landed", "convoy.needs_attention"].contains(&journal.next().await?.kind.as_str()) {}
    let members = BeadFilter { convoy: Some(convoy.id.clone()), ..BeadFilter::default() };
    let mut beads = operator.beads().list(members).await?.beads;
    beads.sort_by(|a, b| a.title.cmp(&b.title));
    for bead in beads {
        let of_bead = SessionFilter { bead: Some(bead.id), state: None };
        let attempts = operator.sessions().list(of_bead).await?.sessions.len();
        let resolution = bead.resolution.map_or("", |resolution| resolution.as_str());
        println!("{:<16}  {:<6}  {resolution:<9}  {attempts}", bead.title, bead.status);
    }
    println!("the convoy is {}", operator.convoys().get(&convoy.id).await?.state);
    town.close().await
}

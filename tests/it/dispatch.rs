//! Who gets which bead, through the whole town: many at once, by hand, and over a restart.

use std::collections::BTreeSet;

use gastown_core::model::{AgentName, AgentState, BeadStatus};
use gastown_core::{AgentFilter, All, HookBead, NewBead, NewSettings, PauseTown};

use crate::support::{Yard, open, origin, staff};

/// Makes one commit.
const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_slings_at_once_put_fifty_beads_on_fifty_hooks() {
    const MANY: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let town = open(dir.path()).await;
    let rig = staff(&town, &origin(dir.path()), MANY, NewSettings::new()).await;
    let operator = town.operator();
    let mut slings = Vec::new();
    for n in 0..MANY {
        let bead = operator.beads().create(NewBead::titled(format!("task {n}")).in_rig(rig.clone())).await.unwrap();
        let handle = operator.clone();
        slings.push(async move { handle.beads().sling(bead.id).await.unwrap() });
    }
    let slings: Vec<_> = slings.into_iter().map(tokio::spawn).collect();
    let mut slung = BTreeSet::new();
    for sling in slings {
        let bead = sling.await.unwrap();
        assert_eq!((bead.status, bead.epoch), (BeadStatus::InProgress, 1), "{}", bead.id);
        slung.insert((bead.assignee.unwrap(), bead.id));
    }
    let agents = operator.agents().list(AgentFilter::default()).await.unwrap().agents;
    let hooks: BTreeSet<_> = agents
        .into_iter()
        .filter_map(|agent| {
            assert_eq!(agent.state, AgentState::Hooked, "{}", agent.name);
            Some((agent.id.to_string(), agent.hook?))
        })
        .collect();
    assert_eq!((hooks.len(), &hooks), (MANY, &slung));
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_a_hook_is_run_by_its_agent_and_merged() {
    let yard = Yard::new(WORK, []).await;
    let operator = yard.town.operator();
    let bead = operator.beads().create(NewBead::titled("lay the keel").in_rig(yard.rig.clone())).await.unwrap();
    let toast1 = AgentName::new("toast1").unwrap();
    operator.agents().hook(HookBead::new(toast1.clone(), bead.id.clone())).await.unwrap();
    yard.merged(&bead).await;
    let history = operator.agents().history(toast1).await.unwrap();
    assert_eq!(history.work.into_iter().map(|work| work.bead).collect::<Vec<_>>(), [bead.id]);
    assert_eq!(history.agent.hook, None);
    yard.ends_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_hook_outlive_the_process() {
    let yard = Yard::new(WORK, []).await;
    let operator = yard.town.operator();
    operator.upkeep().pause(PauseTown { reason: "a storm".into(), until: None }).await.unwrap();
    let bead = yard.sling("wait for the storm to end").await;
    let hooked = operator.beads().create(NewBead::titled("wait on a hook").in_rig(yard.rig.clone())).await.unwrap();
    let toast1 = AgentName::new("toast1").unwrap();
    operator.agents().hook(HookBead::new(toast1.clone(), hooked.id.clone())).await.unwrap();
    let Yard { town, rig, origin, dir } = yard;
    town.close().await.unwrap();

    let town = open(dir.path()).await;
    town.start().await.unwrap();
    let yard = Yard { town, rig, origin, dir };
    let operator = yard.town.operator();
    let reasons = operator.beads().explain(bead.id.clone()).await.unwrap().reasons;
    assert!(reasons.iter().any(|reason| reason.text.as_deref() == Some("a storm")), "{reasons:?}");
    assert_eq!(operator.sessions().plan(All {}).await.unwrap().starts, []);
    operator.upkeep().resume(All {}).await.unwrap();
    yard.merged(&bead).await;
    yard.merged(&hooked).await;
    assert_eq!(operator.agents().history(toast1).await.unwrap().work[0].bead, hooked.id);
    yard.ends_tidy().await;
}

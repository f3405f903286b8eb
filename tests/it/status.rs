//! What goes on in a town, at one look.

use gastown_core::model::{AgentState, BeadKind, BeadStatus, EffectState, Role, SessionState, Timestamp};
use gastown_core::{All, CloseBead, NewBead, NewSettings, PauseRig, PauseTown, Town, TownStatus};

use crate::support::{Yard, open, origin, staff};

/// Makes one commit.
const WORK: &str = r#"echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"; git add -A; git commit -q -m "$GASTOWN_TITLE""#;

async fn status(town: &Town) -> TownStatus {
    town.operator().upkeep().status(All {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_is_counted_and_what_is_over_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let town = open(dir.path()).await;
    let empty = status(&town).await;
    assert_eq!((empty.leader, empty.next_wake, empty.pause.reason), (None, None, None));
    assert!(empty.agents.is_empty() && empty.beads.is_empty() && empty.sessions.is_empty() && empty.effects.is_empty());

    let rig = staff(&town, &origin(dir.path()), 3, NewSettings::new()).await;
    let operator = town.operator();
    for n in 0..5 {
        let bead = operator.beads().create(NewBead::titled(format!("task {n}")).in_rig(rig.clone())).await.unwrap();
        if n == 4 {
            operator.beads().close(CloseBead::from(&bead.id)).await.unwrap();
        } else {
            operator.beads().sling(bead.id).await.unwrap();
        }
    }
    let (soon, later) = (Timestamp::from_micros(1 << 52), Timestamp::from_micros(1 << 53));
    let storm = |until| PauseTown { reason: "a storm".into(), until: Some(until) };
    operator.upkeep().pause(storm(later)).await.unwrap();
    operator.rigs().pause(PauseRig { name: rig.clone(), reason: "low tide".into(), until: Some(soon) }).await.unwrap();

    let now = status(&town).await;
    let agents: Vec<_> =
        now.agents.iter().map(|group| (group.rig.as_ref(), group.role, group.state, group.count)).collect();
    assert_eq!(agents, [(Some(&rig), Role::Polecat, AgentState::Hooked, 3)]);
    let issues: Vec<_> = now.beads.iter().filter(|group| group.kind == BeadKind::Issue).collect();
    let issues: Vec<_> = issues.iter().map(|group| (group.status, group.count)).collect();
    assert_eq!(issues, [(BeadStatus::Open, 1), (BeadStatus::InProgress, 3)], "the closed one is over");
    assert_eq!((now.slung, now.hooks_waiting, now.quarantined), (1, 0, 0));
    let sessions: Vec<_> = now.sessions.iter().map(|group| (group.state, group.count)).collect();
    assert_eq!(sessions, [(SessionState::Planned, 3)]);
    let effects: Vec<_> = now.effects.iter().map(|group| (group.state, group.count)).collect();
    assert_eq!(effects, [(EffectState::Planned, 3)]);
    assert_eq!((now.pause.reason.as_deref(), now.pause.until), (Some("a storm"), Some(later)));
    let [row] = &now.rigs[..] else { panic!("{:?}", now.rigs) };
    assert_eq!((&row.name, row.paused_reason.as_deref(), row.paused_until), (&rig, Some("low tide"), Some(soon)));
    assert_eq!(row.busy, 3);
    assert_eq!(now.next_wake, Some(soon), "the first of the deadlines");
    let seqs: Vec<_> = now.recent.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (now.head - 19..=now.head).collect::<Vec<_>>());
    assert_eq!(now.recent.last().map(|event| event.kind.as_str()), Some("rig.paused"));

    let narrow = town.rig(rig.clone());
    assert_eq!(narrow.upkeep().status(All {}).await.unwrap_err().kind(), gastown_core::ErrorKind::Forbidden);
    town.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_at_work_has_a_leader_and_one_at_rest_counts_nothing() {
    let yard = Yard::new(WORK, []).await;
    let bead = yard.sling("lay the keel").await;
    let merged = yard.merged(&bead).await;
    assert_eq!(merged.status, BeadStatus::Closed);
    yard.at_rest().await;
    let now = status(&yard.town).await;
    let leader = now.leader.as_ref().expect("the engine runs");
    assert!(leader.epoch == 1 && leader.lease_until > now.at, "{leader:?}");
    assert!(now.sessions.is_empty() && now.reviews.is_empty() && now.convoys.is_empty(), "{now:?}");
    assert!(now.escalations.is_empty() && now.breakers.is_empty() && now.stalled.is_empty(), "{now:?}");
    assert!(now.beads.iter().all(|group| group.kind == BeadKind::Agent), "{:?}", now.beads);
    assert!(now.agents.iter().all(|group| group.state == AgentState::Idle), "{:?}", now.agents);
    yard.ends_tidy().await;
}

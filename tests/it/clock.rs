//! A clock that is set back or far ahead: commands go on, the journal keeps its order, and what waits for a time waits
//! for it.

use std::sync::Arc;
use std::time::Duration;

use gastown_core::model::Timestamp;
use gastown_core::{Claim, EventsSince, Heartbeat, ManualClock, NewBead, ReadyFilter, Town};

const HOUR: i64 = 3_600_000_000;
const SECOND: i64 = 1_000_000;

#[tokio::test]
async fn a_clock_that_goes_back_neither_ends_a_lease_early_nor_keeps_it_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let noon = 1_800_000_000 * SECOND;
    let at = |micros: i64| Timestamp::from_micros(noon + micros);
    let clock = ManualClock::at(at(0));
    let town = Town::builder(dir.path()).clock(Arc::new(clock.clone())).open().await.unwrap();
    let beads = town.operator().beads();
    let claim = |id: &gastown_core::model::BeadId, by: &str| Claim::of(id.clone(), by).for_ms(60_000);
    let is_ready = async |id: &gastown_core::model::BeadId| {
        beads.ready(ReadyFilter::default()).await.unwrap().beads.iter().any(|bead| bead.id == *id)
    };

    let held = beads.create(NewBead::titled("held")).await.unwrap().id;
    beads.claim(claim(&held, "tess")).await.unwrap();
    let later = NewBead { defer_until: Some(at(100 * SECOND)), ..NewBead::titled("later") };
    let later = beads.create(later).await.unwrap().id;
    assert!(!is_ready(&later).await);

    // An hour back: work goes on as before.
    clock.set(at(-HOUR));
    let keyed = town.operator().with_key("k");
    let early = keyed.beads().create(NewBead::titled("early")).await.unwrap();
    assert_eq!(keyed.beads().create(NewBead::titled("early")).await.unwrap(), early, "its key is remembered");
    assert_eq!(early.created_at, at(-HOUR));
    assert_eq!(beads.claim(claim(&held, "nux")).await.unwrap_err().code(), "bead_held");
    assert!(!is_ready(&later).await);
    assert_eq!(beads.claim(claim(&later, "nux")).await.unwrap_err().code(), "bead_deferred");
    beads.claim(claim(&early.id, "nux")).await.unwrap();

    // A lease that was given meanwhile is over by the clock that is right again.
    clock.set(at(59 * SECOND));
    assert_eq!(beads.claim(claim(&held, "nux")).await.unwrap_err().code(), "bead_held");
    assert_eq!(beads.claim(claim(&early.id, "tess")).await.unwrap().assignee.as_deref(), Some("tess"));
    clock.set(at(60 * SECOND));
    assert_eq!(beads.claim(claim(&held, "nux")).await.unwrap().assignee.as_deref(), Some("nux"));
    assert!(!is_ready(&later).await);
    clock.set(at(100 * SECOND));
    assert!(is_ready(&later).await);

    // Also over an opening, with a clock that is behind again.
    town.close().await.unwrap();
    clock.set(at(-24 * HOUR));
    let town = Town::builder(dir.path()).clock(Arc::new(clock.clone())).open().await.unwrap();
    town.operator().beads().create(NewBead::titled("yesterday")).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let events = town.operator().events().since(EventsSince::default()).await.unwrap().events;
    assert!(events.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "the journal's order is its own");
    assert!(events.windows(2).any(|pair| pair[0].at > pair[1].at), "it says what the clock showed");
    assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new());
    town.close().await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_of_a_clock_that_went_back_or_for_less_time_shortens_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let noon = 1_800_000_000 * SECOND;
    let at = |micros: i64| Timestamp::from_micros(noon + micros);
    let clock = ManualClock::at(at(0));
    let town = Town::builder(dir.path()).clock(Arc::new(clock.clone())).open().await.unwrap();
    let beads = town.operator().beads();
    let id = beads.create(NewBead::titled("held")).await.unwrap().id;
    let held = beads.claim(Claim::of(id.clone(), "tess").for_ms(60_000)).await.unwrap();

    clock.set(at(-HOUR));
    assert_eq!(beads.heartbeat(Heartbeat::of(&held)).await.unwrap().lease_until, at(60 * SECOND));
    clock.set(at(SECOND));
    let brief = Heartbeat { lease_ms: Some(1), ..Heartbeat::of(&held) };
    assert_eq!(beads.heartbeat(brief).await.unwrap().lease_until, at(60 * SECOND));
    assert_eq!(beads.claim(Claim::of(id, "nux")).await.unwrap_err().code(), "bead_held");
    assert_eq!(beads.heartbeat(Heartbeat::of(&held)).await.unwrap().lease_until, at(91 * SECOND));

    // One of a clock that was a day ahead would be waited out by nobody.
    clock.set(at(24 * HOUR));
    let ahead = beads.heartbeat(Heartbeat::of(&held)).await.unwrap().lease_until;
    assert_eq!(ahead, at(24 * HOUR + 90 * SECOND));
    clock.set(at(2 * SECOND));
    assert_eq!(beads.heartbeat(Heartbeat::of(&held)).await.unwrap().lease_until, at(92 * SECOND));
    town.close().await.unwrap();
}

#[tokio::test]
async fn the_ends_of_time_stop_nobody() {
    for micros in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp::from_micros(micros));
        let town = Town::builder(dir.path()).clock(Arc::new(clock)).open().await.unwrap();
        let beads = town.operator().beads();
        let bead = beads.create(NewBead::titled("there")).await.unwrap();
        beads.claim(Claim::of(bead.id.clone(), "tess")).await.unwrap();
        beads.close(&bead.id).await.unwrap();
        assert_eq!(town.replay().await.unwrap().differences, Vec::<String>::new(), "{micros}");
        town.close().await.unwrap();
    }
}

//! Cases about claiming: one of many gets a thing, and everybody else learns that it is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use super::Site;
use super::kit::{Bench, append, at, bead_of, issue, store, wait, write_when_free};
use crate::model::{BeadStatus, Error, Key, LeaderRow, Result, Row};
use crate::store::index::BEADS_READY;
use crate::store::{Access, Scan, Store, Txn};

/// How many beads there are to claim.
const BEADS: usize = 40;
/// Who claims them.
const CLAIMERS: usize = 16;

fn bead_name(number: usize) -> String {
    format!("gt-{number:03}")
}

/// Takes the bead for `who` if it is still open.
fn claim(txn: &mut dyn Txn, bead: &str, who: &str) -> Result<()> {
    let mut bead = bead_of(txn.as_reader(), bead);
    if bead.status != BeadStatus::Open {
        return Err(Error::conflict("bead_held", "the bead is held"));
    }
    bead.status = BeadStatus::InProgress;
    bead.assignee = Some(who.to_owned());
    bead.version += 1;
    txn.put(&Row::Bead(bead))?;
    append(txn, 1);
    Ok(())
}

/// Tries every bead once; the names of those that `who` got.
pub(super) async fn claim_all(store: &Store, who: &str) -> Vec<String> {
    let mut claimed = Vec::new();
    for number in 0..BEADS {
        let (bead, name) = (bead_name(number), who.to_owned());
        match store.write(move |txn| claim(txn, &bead, &name)).await {
            Ok(()) => claimed.push(bead_name(number)),
            Err(error) => assert_eq!(error.code(), "bead_held", "{}", error.chain()),
        }
    }
    claimed
}

fn open_beads(bench: &mut Bench) {
    bench.write(|txn| (0..BEADS).for_each(|number| txn.put(&Row::Bead(issue(&bead_name(number)))).unwrap()));
}

/// Every bead went to exactly one, who is written on it.
fn check(bench: &mut Bench, claimed: &[(String, Vec<String>)]) {
    let mut seen = BTreeSet::new();
    for (who, beads) in claimed {
        for bead in beads {
            assert!(seen.insert(bead.clone()), "{bead} was claimed twice");
            let row = bench.read(|reader| bead_of(reader, bead));
            assert_eq!((row.assignee.as_deref(), row.version), (Some(who.as_str()), 2), "{bead}");
        }
    }
    assert_eq!(seen.len(), BEADS, "every bead was claimed");
    assert_eq!(bench.head().seq, BEADS as u64, "a claim that was refused left no entry");
    let ready = Scan::new(&BEADS_READY, super::kit::ready(), 10);
    assert_eq!(bench.read(|reader| reader.scan(&ready).unwrap()), []);
}

fn threads_claim(site: &Site, stores: usize) {
    let mut bench = Bench::new(site);
    open_beads(&mut bench);
    let claimed = wait(async {
        let mut open = Vec::new();
        for _ in 0..stores {
            open.push(store(site.backend()).await);
        }
        let claimers: Vec<_> = (0..CLAIMERS)
            .map(|number| {
                let store = open[number % stores].clone();
                thread::spawn(move || {
                    let who = format!("nux-{number}");
                    let beads = wait(claim_all(&store, &who));
                    (who, beads)
                })
            })
            .collect();
        let claimed: Vec<_> = claimers.into_iter().map(|claimer| claimer.join().unwrap()).collect();
        for store in open {
            store.close().await.unwrap();
        }
        claimed
    });
    check(&mut bench, &claimed);
}

pub(crate) fn a_bead_is_claimed_by_one_of_sixteen_threads(site: &Site) {
    threads_claim(site, 1);
}

pub(crate) fn a_bead_is_claimed_by_one_of_the_threads_of_two_stores(site: &Site) {
    threads_claim(site, 2);
}

pub(crate) fn a_bead_is_claimed_by_one_of_several_processes(site: &Site) {
    let mut bench = Bench::new(site);
    open_beads(&mut bench);
    let mut others: Vec<_> = (0..4).map(|number| (format!("nux-{number}"), site.other("claim"))).collect();
    for (who, other) in &mut others {
        other.say(who);
        assert_eq!(other.hear(), "ready");
    }
    others.iter_mut().for_each(|(_, other)| other.say("go"));
    let claimed: Vec<_> = others
        .into_iter()
        .map(|(who, mut other)| {
            let beads = other.hear().split_whitespace().map(str::to_owned).collect();
            other.finish();
            (who, beads)
        })
        .collect();
    check(&mut bench, &claimed);
}

pub(crate) fn a_claim_that_comes_too_late_changes_nothing(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    let mut other = site.backend().connect(Access::Write).unwrap();
    bench.write(|txn| claim(txn, "gt-1", "nux").unwrap());
    let error = write_when_free(&mut *other, |txn| claim(txn, "gt-1", "toast").unwrap_err());
    assert_eq!(error.code(), "bead_held");
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")).assignee.as_deref(), Some("nux"));
    assert_eq!(bench.head().seq, 1);
}

pub(crate) fn a_bead_that_is_given_back_can_be_claimed_again(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    for round in 0..3 {
        bench.write(|txn| claim(txn, "gt-1", &format!("nux-{round}")).unwrap());
        bench.write(|txn| {
            let mut bead = bead_of(txn.as_reader(), "gt-1");
            assert_eq!(bead.assignee.take(), Some(format!("nux-{round}")));
            bead.status = BeadStatus::Open;
            txn.put(&Row::Bead(bead)).unwrap();
        });
        let ready = Scan::new(&BEADS_READY, super::kit::ready(), 10);
        assert_eq!(bench.read(|reader| reader.scan(&ready).unwrap()).len(), 1);
    }
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")).version, 4);
}

pub(crate) fn a_change_that_rests_on_an_old_version_is_seen_as_such(site: &Site) {
    let mut bench = Bench::new(site);
    bench.write(|txn| txn.put(&Row::Bead(issue("gt-1"))).unwrap());
    let connections: Vec<_> = (0..4).map(|_| site.backend().connect(Access::Write).unwrap()).collect();
    // Each read version 1 before any of them wrote; one may change it to 2.
    let read = bench.read(|reader| bead_of(reader, "gt-1")).version;
    let won: Vec<bool> = thread::scope(|scope| {
        let swap = |mut connection: Box<dyn crate::store::Connection>| {
            write_when_free(&mut *connection, |txn| {
                let mut bead = bead_of(txn.as_reader(), "gt-1");
                if bead.version != read {
                    return false;
                }
                bead.version += 1;
                txn.put(&Row::Bead(bead)).unwrap();
                true
            })
        };
        let swaps: Vec<_> = connections.into_iter().map(|connection| scope.spawn(move || swap(connection))).collect();
        swaps.into_iter().map(|swap| swap.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(bench.read(|reader| bead_of(reader, "gt-1")).version, 2);
}

/// Takes the lease for ten seconds if nobody has it.
fn lead(txn: &mut dyn Txn, who: &str, now: i64) -> bool {
    let epoch = match txn.get(&Key::leader()).unwrap() {
        Some(Row::Leader(held)) if held.lease_until > at(now) => return false,
        Some(Row::Leader(held)) => held.epoch + 1,
        _ => 1,
    };
    let lease_until = at(now + 10);
    txn.put(&Row::Leader(LeaderRow {
        name: "engine".into(),
        holder: who.into(),
        epoch,
        lease_until,
        drain_reason: None,
        drain_until: None,
    }))
    .unwrap();
    true
}

pub(crate) fn a_lease_is_one_holders_until_it_is_over(site: &Site) {
    let mut bench = Bench::new(site);
    for second in [0, 5, 20] {
        let won: Vec<bool> = thread::scope(|scope| {
            let contenders: Vec<_> = ["a", "b", "c"]
                .map(|who| {
                    let backend = Arc::clone(&bench.backend);
                    scope.spawn(move || {
                        let mut connection = backend.connect(Access::Write).unwrap();
                        write_when_free(&mut *connection, |txn| lead(txn, who, second))
                    })
                })
                .into_iter()
                .collect();
            contenders.into_iter().map(|contender| contender.join().unwrap()).collect()
        });
        let winners = won.iter().filter(|won| **won).count();
        assert_eq!(winners, usize::from(second != 5), "at second {second}");
    }
    let Some(Row::Leader(held)) = bench.get(&Key::leader()) else { panic!("there is a leader") };
    assert_eq!((held.epoch, held.lease_until), (2, at(30)));
}

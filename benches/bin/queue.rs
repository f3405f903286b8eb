//! Put, claim and done as often as asked, one after the other; prints the nanoseconds of each as JSON.
//!
//! What the comparisons in other languages hold their figures against.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use gastown_core::store::{Durability, SqliteOptions};
use gastown_core::{Claim, NewBead, ReadyFilter, Town};

fn main() {
    let mut args = std::env::args().skip(1);
    let (folder, durability, count) = (args.next(), args.next(), args.next());
    let usage = "usage: bench-queue FOLDER full|normal COUNT";
    let folder = folder.expect(usage);
    let count: usize = count.and_then(|count| count.parse().ok()).expect(usage);
    let mut options = SqliteOptions::default();
    options.durability = match durability.as_deref() {
        Some("full") => Durability::Full,
        Some("normal") => Durability::Normal,
        _ => panic!("{usage}"),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let town = Town::builder(folder).sqlite_options(options).open().await.expect("a town");
        let beads = town.operator().beads();
        let (mut put, mut claim, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..count {
            let begun = Instant::now();
            beads.create(NewBead::titled(format!("job {n}"))).await.expect("a bead");
            put.push(begun.elapsed().as_nanos());
        }
        for _ in 0..count {
            let begun = Instant::now();
            let bead = beads.claim(Claim::next("worker")).await.expect("a bead");
            claim.push(begun.elapsed().as_nanos());
            let begun = Instant::now();
            beads.close(&bead.id).await.expect("it is closed");
            done.push(begun.elapsed().as_nanos());
        }
        let left = beads.ready(ReadyFilter::default()).await.expect("a page").beads.len();
        assert_eq!(left, 0, "every job was done");
        println!("{}", serde_json::json!({ "put": put, "claim": claim, "done": done }));
        town.close().await.expect("it closes");
    });
}

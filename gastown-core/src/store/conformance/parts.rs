//! What others do on the database of a case, in a process or a thread of their own.

use std::sync::Arc;

use super::claims::claim_all;
use super::kit::{append, issue, store, town, wait, write_when_free};
use super::site::{Line, Part};
use crate::model::{Key, Row};
use crate::store::index::BEADS;
use crate::store::{Access, Backend, Scan};

/// Every part by its name.
pub(super) const PARTS: &[(&str, Part)] = &[("write", write), ("claim", claim), ("hear", hear)];

/// Writes and reads what it is told, over one connection of each kind.
fn write(backend: &Arc<dyn Backend>, line: &mut Line) {
    let mut connection = backend.connect(Access::Write).unwrap();
    let mut reader = backend.connect(Access::Read).unwrap();
    while let Some(words) = line.hear() {
        let (verb, about) = words.split_once(' ').unwrap_or((&words, ""));
        match verb {
            // Puts a bead and an entry, and commits.
            "put" => write_when_free(&mut *connection, |txn| {
                txn.put(&Row::Bead(issue(about))).unwrap();
                append(txn, 1);
            }),
            // Does the same, and waits for the word before it commits; anything but a word ends it in the middle.
            "hold" => {
                let mut txn = connection.write(&town()).unwrap();
                txn.put(&Row::Bead(issue(about))).unwrap();
                append(&mut *txn, 1);
                line.say("holds");
                match line.hear() {
                    Some(_) => txn.commit().unwrap(),
                    None => return,
                }
            }
            // Adds one to the version of a bead, so many times.
            "add" => {
                for _ in 0..about.parse().unwrap() {
                    write_when_free(&mut *connection, |txn| {
                        let mut bead = super::kit::bead_of(txn.as_reader(), "gt-sum");
                        bead.version += 1;
                        txn.put(&Row::Bead(bead)).unwrap();
                        append(txn, 1);
                    });
                }
            }
            "has" => {
                let key = Key::bead(&super::kit::id(about));
                let found = reader.read(&town()).unwrap().get(&key).unwrap().is_some();
                line.say(&found.to_string());
                continue;
            }
            "count" => {
                let count = reader.read(&town()).unwrap().count(&Scan::new(&BEADS, vec![], 1)).unwrap();
                line.say(&count.to_string());
                continue;
            }
            other => panic!("{other} is nothing to do"),
        }
        line.say("done");
    }
}

/// Claims whatever is open, and says which it got.
fn claim(backend: &Arc<dyn Backend>, line: &mut Line) {
    let Some(who) = line.hear() else { return };
    let claimed = wait(async {
        let store = store(Arc::clone(backend)).await;
        line.say("ready");
        line.hear();
        let claimed = claim_all(&store, &who).await;
        store.close().await.unwrap();
        claimed
    });
    line.say(&claimed.join(" "));
}

/// Says how far the journal goes whenever it hears that it went on.
fn hear(backend: &Arc<dyn Backend>, line: &mut Line) {
    wait(async {
        let store = store(Arc::clone(backend)).await;
        let mut commits = store.commits();
        line.say("ready");
        while let Some(seq) = line.hear() {
            let seq: u64 = seq.parse().unwrap();
            let heard = *commits.wait_for(|last| *last >= seq).await.unwrap();
            line.say(&heard.to_string());
        }
        store.close().await.unwrap();
    });
}

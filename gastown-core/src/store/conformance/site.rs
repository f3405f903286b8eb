//! Where a case runs: its database, and others that work on it at the same time.

#![allow(clippy::disallowed_methods, reason = "another process is told by its environment what it is for")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::Subject;
use super::parts::PARTS;
use crate::store::Backend;

/// What another process is to do, and on which database.
const PART: &str = "GASTOWN_STORE_PART";
const ADDRESS: &str = "GASTOWN_STORE_ADDRESS";

/// What stands before a word that one process says to another; everything else is the test program's own.
const MARK: &str = "store part: ";

/// How many words may wait between two threads.
const WORDS_MAX: usize = 1_000;

/// What another does: it talks over the line until the case is done with it.
pub(super) type Part = fn(&Arc<dyn Backend>, &mut Line);

/// One case's database, and how to start others on it.
pub(crate) struct Site<'s> {
    pub(super) subject: &'s dyn Subject,
    /// The test of the running case as a test program knows it.
    test: Option<&'s str>,
}

impl<'s> Site<'s> {
    pub(super) fn new(subject: &'s dyn Subject, test: Option<&'s str>) -> Self {
        Self { subject, test }
    }

    /// One more instance.
    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        self.subject.backend()
    }

    /// Somebody else on the same database: a process where that can be, else a thread.
    pub(super) fn other(&self, part: &'static str) -> Other {
        let address = self.subject.address();
        let command = self.subject.command().or_else(|| self.test.and_then(same_test));
        if let (Some(address), Some(mut command)) = (address, command) {
            command.env(PART, part).env(ADDRESS, address).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("the test program runs again");
            let words = BufReader::new(child.stdout.take().expect("it is piped"));
            return Other::Process { child, words };
        }
        let backend = self.subject.backend();
        let (to, from_here) = mpsc::sync_channel(WORDS_MAX);
        let (to_here, from) = mpsc::sync_channel(WORDS_MAX);
        let work = part_of(part);
        let thread = thread::spawn(move || work(&backend, &mut Line::Thread { to: to_here, from: from_here }));
        Other::Thread { thread, to, from }
    }
}

fn part_of(name: &str) -> Part {
    PARTS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("there is no part {name}")).1
}

/// The running test program, told to run this one test.
fn same_test(test: &str) -> Option<Command> {
    let mut command = Command::new(env::current_exe().ok()?);
    command.args([test, "--exact", "--nocapture"]);
    Some(command)
}

/// Does what another process wants done; false, and nothing, where this one was not started for that.
///
/// A program that [`Subject::command`] starts calls it first. `open` is [`Subject::open`].
pub fn take_part(open: &dyn Fn(&str) -> Arc<dyn Backend>) -> bool {
    let (Ok(part), Ok(address)) = (env::var(PART), env::var(ADDRESS)) else { return false };
    part_of(&part)(&open(&address), &mut Line::Process);
    true
}

/// How a part talks with its case.
pub(super) enum Line {
    Process,
    Thread { to: mpsc::SyncSender<String>, from: mpsc::Receiver<String> },
}

impl Line {
    /// Says something. It does not matter whether anybody listens still.
    pub(super) fn say(&mut self, word: &str) {
        match self {
            Self::Process => {
                let mut out = std::io::stdout().lock();
                // The program may have begun a line of its own.
                let _ = writeln!(out, "\n{MARK}{word}").and_then(|()| out.flush());
            }
            Self::Thread { to, .. } => drop(to.send(word.to_owned())),
        }
    }

    /// What the case says next; none when it is done.
    pub(super) fn hear(&mut self) -> Option<String> {
        match self {
            Self::Process => {
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line).ok()?;
                (read > 0).then(|| line.trim_end_matches('\n').to_owned())
            }
            Self::Thread { from, .. } => from.recv().ok(),
        }
    }
}

/// Somebody else on the database; ended when dropped.
pub(super) enum Other {
    Process { child: Child, words: BufReader<ChildStdout> },
    Thread { thread: JoinHandle<()>, to: mpsc::SyncSender<String>, from: mpsc::Receiver<String> },
}

impl Other {
    /// Tells it something.
    pub(super) fn say(&mut self, word: &str) {
        match self {
            Self::Process { child, .. } => {
                let stdin = child.stdin.as_mut().expect("it is piped");
                writeln!(stdin, "{word}").and_then(|()| stdin.flush()).expect("the other process listens");
            }
            Self::Thread { to, .. } => to.send(word.to_owned()).expect("the other thread listens"),
        }
    }

    /// What it says next.
    pub(super) fn hear(&mut self) -> String {
        match self {
            Self::Process { words, .. } => loop {
                let mut line = String::new();
                let read = words.read_line(&mut line).expect("the other process speaks");
                assert!(read > 0, "the other process ended");
                if let Some(word) = line.trim_end_matches('\n').strip_prefix(MARK) {
                    return word.to_owned();
                }
            },
            Self::Thread { from, .. } => from.recv().expect("the other thread ended"),
        }
    }

    /// Waits for its end, which must be a good one.
    pub(super) fn finish(self) {
        match self {
            Self::Process { mut child, mut words } => {
                drop(child.stdin.take());
                std::io::copy(&mut words, &mut std::io::sink()).expect("the other process speaks");
                assert!(child.wait().expect("it is a child").success(), "the other process failed");
            }
            Self::Thread { thread, to, from } => {
                drop((to, from));
                thread.join().expect("the other thread failed");
            }
        }
    }

    /// Ends it in the middle of what it does: a process by a signal, a thread by leaving it alone.
    pub(super) fn kill(self) {
        match self {
            Self::Process { mut child, .. } => {
                child.kill().and_then(|()| child.wait()).expect("it is a child");
            }
            Self::Thread { thread, to, from } => {
                drop((to, from));
                // It says by a panic that it was left in the middle.
                let _ = thread.join();
            }
        }
    }
}

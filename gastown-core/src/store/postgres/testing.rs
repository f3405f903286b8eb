//! A private Postgres on loopback for tests, by the program `tools/test-postgres`.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test without its server has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A server that is there while this is, or while the process lives.
#[derive(Debug)]
pub struct TestServer {
    child: Child,
    input: Option<ChildStdin>,
    output: Mutex<BufReader<ChildStdout>>,
    url: String,
}

impl TestServer {
    /// The server that all tests of this checkout share, while the process lives.
    ///
    /// # Panics
    /// Where there is no Postgres on this machine.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("hold", None))
    }

    /// A server that nobody else uses, so that it can be stopped.
    pub fn own() -> Self {
        Self::start("own", None)
    }

    /// The same with its files in `dir`, on a disk that is flushed at each commit: for measuring.
    pub fn durable(dir: &Path) -> Self {
        Self::start("durable", Some(dir))
    }

    fn start(how: &str, dir: Option<&Path>) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/test-postgres");
        let mut child = Command::new(program)
            .envs(dir.map(|dir| ("TMPDIR", dir)))
            .arg(how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        output.read_line(&mut url).unwrap();
        assert!(!url.is_empty(), "there is no Postgres for the tests; see above");
        Self { child, input, output: Mutex::new(output), url: url.trim().to_owned() }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same with a schema that no other test has.
    pub fn fresh_url(&self) -> String {
        // Not by the number of the process: over a long run those come again.
        format!("{}&schema=t{:016x}", self.url, getrandom::u64().expect("the system gives random numbers"))
    }

    /// Has the server `restart` (as after a crash), `stop` or `start`, and waits until it has.
    pub fn order(&mut self, word: &str) {
        writeln!(self.input.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        self.output.lock().unwrap_or_else(PoisonError::into_inner).read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "done", "{word}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

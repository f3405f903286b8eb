//! The calling end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::connection::late;
use super::frame::{FRAME_BYTES_MAX, Frames, framed};
use super::message::{HELLO, Outcome, Request, RequestId, Response, VERSIONS, Welcome};
use crate::model::{Error, Result, SecretText};

/// How much longer than its deadline a call waits for the town to say that it passed.
const GRACE: Duration = Duration::from_millis(500);

/// A connection to a town that another process has open; it asks one thing at a time and waits for the answer.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    frames: Frames,
    welcome: Welcome,
    last: u64,
    dropped: u64,
    is_over: bool,
}

impl Client {
    /// Connects, and says who calls.
    ///
    /// # Errors
    /// `town_unreachable` where nobody listens, `answer_late`, `answer_malformed`, and why the caller is not let in.
    pub fn connect(path: &Path, token: &SecretText, within: Duration) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(|source| unreachable(path, source))?;
        let mut frames = Frames::new();
        let hello = Request::new(0, HELLO, json!({ "versions": VERSIONS, "token": token.expose() }));
        let until = deadline(within);
        let mut dropped = 0;
        // Where it is refused before it said anything, why it is stands ready to be read.
        let sent = send(&stream, &hello, until);
        let response = receive(&stream, &mut frames, &RequestId::Number(0), until, &mut dropped);
        let response = match (sent, response) {
            (_, Ok(response)) => response,
            (Err(error), _) | (Ok(()), Err(error)) => return Err(told(path, HELLO, within, error)),
        };
        let welcome = Welcome::deserialize(response?).map_err(malformed)?;
        Ok(Self { path: path.to_owned(), stream, frames, welcome, last: 0, dropped, is_over: false })
    }

    /// Who it is to the town, and what it may do.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// How many answers came that nobody waited for: too late, or not asked for.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing more comes through it.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Runs an operation and waits for its output, not longer than `within`.
    ///
    /// # Errors
    /// Those of the operation; `deadline_exceeded`, after which a change may have been done or not: repeat it with its key;
    /// `town_unreachable` where the town's process ended; `frame_too_large`.
    pub fn call(&mut self, operation: &str, input: Json, key: Option<&str>, within: Duration) -> Result<Json> {
        self.last += 1;
        let mut request = Request::new(self.last, operation, input);
        request.key = key.map(str::to_owned);
        request.deadline_ms = Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        let until = deadline(within + GRACE);
        let id = request.id.clone();
        let sent = send(&self.stream, &request, until);
        // Half a request may be on its way.
        self.is_over |= matches!(sent, Err(Trouble::Io(_)));
        let answer = sent.and_then(|()| receive(&self.stream, &mut self.frames, &id, until, &mut self.dropped));
        answer.map_err(|trouble| {
            self.is_over |= !matches!(&trouble, Trouble::Io(error) if is_late(error));
            told(&self.path, operation, within, trouble)
        })?
    }
}

/// What goes wrong with a connection.
enum Trouble {
    Io(io::Error),
    Other(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn told(path: &Path, operation: &str, within: Duration, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Other(error) => error,
        Trouble::Io(error) if is_late(&error) => late(operation, within),
        Trouble::Io(error) => unreachable(path, error),
    }
}

fn unreachable(path: &Path, source: io::Error) -> Error {
    Error::unavailable("town_unreachable", format!("no town answers at {}", path.display()))
        .with("path", path.display())
        .because(source)
}

fn malformed(source: serde_json::Error) -> Error {
    Error::internal("answer_malformed", "the answer of the town cannot be read").because(source)
}

#[allow(clippy::disallowed_methods, reason = "how long a call waits is no matter of the town's clock")]
fn deadline(within: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(within).unwrap_or(now + Duration::from_secs(24 * 3600))
}

#[allow(clippy::disallowed_methods, reason = "how long a call waits is no matter of the town's clock")]
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn send(mut stream: &UnixStream, request: &Request, until: Instant) -> Result<(), Trouble> {
    let bytes = serde_json::to_vec(request).map_err(malformed)?;
    let frame = framed(&bytes)?;
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(&frame)?;
    Ok(())
}

/// Waits for the answer to this request; others are dropped and counted.
fn receive(
    mut stream: &UnixStream,
    frames: &mut Frames,
    id: &RequestId,
    until: Instant,
    dropped: &mut u64,
) -> Result<Result<Json>, Trouble> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        while let Some(frame) = frames.next(FRAME_BYTES_MAX)? {
            let response: Response = serde_json::from_slice(&frame).map_err(malformed)?;
            let is_ours = response.id.as_ref() == Some(id);
            match response.outcome {
                Outcome::Result(output) if is_ours => return Ok(Ok(output)),
                // One without an id is about the connection.
                Outcome::Error(refusal) if is_ours || response.id.is_none() => return Ok(Err(refusal.into())),
                _ => *dropped += 1,
            }
        }
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut bytes) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => frames.push(&bytes[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

//! What agents print and tell, a page at a time.
//!
//! It is in segments beside the database, not in it; the database says only which sessions there are.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use super::handle::{Handle, from_json};
use super::operation::Operation;
use crate::model::{Error, EventFlaw, OutputStream, Result, SessionId};
#[cfg(all(feature = "git", feature = "process"))]
use crate::work::SessionOutput;
use crate::work::{Session, SessionRef, sessions};

/// How many bytes a page holds where nobody says.
const PAGE_BYTES: usize = 64 << 10;
/// The fewest: a character must fit.
const PAGE_BYTES_MIN: usize = 16;
/// The most.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Which part of a session's output to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputQuery {
    /// Whose.
    pub session: SessionId,
    /// What it printed, or its structured events.
    #[serde(default)]
    pub stream: OutputStream,
    /// From this byte on, counted from the first that was ever printed.
    #[serde(default)]
    pub after: u64,
    /// The most bytes of a page, 16 to 1,048,576; 65,536 where it is left out.
    #[serde(default)]
    pub limit_bytes: Option<usize>,
    /// Whether the bytes themselves are wanted beside the text.
    #[serde(default)]
    pub raw: bool,
}

impl OutputQuery {
    /// What the session printed, from its beginning.
    pub const fn of(session: SessionId) -> Self {
        Self { session, stream: OutputStream::Output, after: 0, limit_bytes: None, raw: false }
    }

    /// Reads it from a JSON object, for callers in another language.
    ///
    /// # Errors
    /// `input_malformed` with what is wrong where, and those of the id and the stream.
    pub fn from_json(query: Json) -> Result<Self> {
        from_json(super::table::operation("sessions.output"), query)
    }
}

impl From<SessionId> for OutputQuery {
    fn from(session: SessionId) -> Self {
        Self::of(session)
    }
}

/// A part of a session's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OutputPage {
    /// Whose.
    pub session: SessionId,
    /// What it printed, or its structured events.
    pub stream: OutputStream,
    /// Where it starts; later than asked where bytes were dropped.
    pub offset: u64,
    /// Where the next page starts.
    pub next_offset: u64,
    /// How many bytes between the place that was asked for and this page were not kept.
    pub dropped_bytes: u64,
    /// Whether the session has ended and nothing comes after this page.
    pub is_final: bool,
    /// The bytes as text, never cut inside a character; what is not UTF-8 is shown as U+FFFD.
    pub text: String,
    /// The bytes, where they were asked for; base64 in JSON.
    #[serde(serialize_with = "base64")]
    pub bytes: Option<Vec<u8>>,
    /// The lines of the page, where it is one of structured events.
    pub events: Option<Vec<SessionEvent>>,
}

impl OutputPage {
    /// Whether it tells nothing new.
    fn is_empty(&self) -> bool {
        self.offset == self.next_offset && self.dropped_bytes == 0
    }
}

/// One line of a session's structured events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionEvent {
    /// Where the line starts.
    pub offset: u64,
    /// What it says.
    pub data: Option<Json>,
    /// The line as it is, where it does not say anything.
    pub text: Option<String>,
    /// Why it does not.
    pub flaw: Option<EventFlaw>,
}

pub(super) async fn session(handle: &Handle, operation: &'static Operation, input: SessionRef) -> Result<Session> {
    #[cfg_attr(not(all(feature = "git", feature = "process")), expect(unused_mut, reason = "nothing runs here"))]
    let mut session = handle.ask(operation, input, sessions::get).await?;
    #[cfg(all(feature = "git", feature = "process"))]
    match handle.town().runtime().inspect(&session.id).await {
        Ok(status) => {
            let is_absent = status.state == crate::runtime::SessionState::Absent;
            session.output = Some(SessionOutput {
                bytes: (!is_absent).then_some(status.output_bytes),
                dropped_bytes: (!is_absent).then_some(status.output_dropped_bytes),
                is_removed: is_absent && session.started_at.is_some(),
            });
        }
        // The session is known all the same.
        Err(error) => tracing::warn!(session = %session.id, error = %error.chain(), "its output cannot be looked at"),
    }
    Ok(session)
}

pub(super) async fn output(handle: &Handle, operation: &'static Operation, input: OutputQuery) -> Result<OutputPage> {
    Ok(look(handle, operation, &input).await?.page)
}

/// A page, and whether its session is known where it runs.
pub(super) struct Look {
    pub(super) page: OutputPage,
    #[cfg_attr(not(all(feature = "git", feature = "process")), expect(dead_code, reason = "nothing runs here"))]
    pub(super) has_begun: bool,
}

#[cfg(not(all(feature = "git", feature = "process")))]
pub(super) async fn look(handle: &Handle, operation: &'static Operation, query: &OutputQuery) -> Result<Look> {
    handle.ask(operation, SessionRef::from(query.session.clone()), sessions::get).await?;
    Err(Error::unsupported("runtime_missing", "this build runs no sessions, so it has no output"))
}

#[cfg(all(feature = "git", feature = "process"))]
pub(super) async fn look(handle: &Handle, operation: &'static Operation, query: &OutputQuery) -> Result<Look> {
    use crate::model::SessionState as Stored;
    use crate::runtime::SessionState;

    let limit = limit(query)?;
    let session = handle.ask(operation, SessionRef::from(query.session.clone()), sessions::get).await?;
    let source = Source { runtime: handle.town().runtime().as_ref(), query };
    // Looked at before reading: what has ended by now prints nothing more.
    let (ended, printed) = match source.runtime.inspect(&session.id).await?.state {
        SessionState::Exited(record) => (true, record.output_bytes),
        SessionState::Absent if session.started_at.is_some() => return Err(gone(&session)),
        SessionState::Absent => {
            let mut page = source.page(query.after, false, Vec::new());
            page.is_final = session.state == Stored::Ended;
            return Ok(Look { page, has_begun: false });
        }
        _ => (false, 0),
    };
    let read = source.read(limit, ended, printed).await;
    let page = read.map_err(|error| if error.code() == "session_unknown" { gone(&session) } else { error })?;
    Ok(Look { page, has_begun: true })
}

#[cfg(all(feature = "git", feature = "process"))]
fn gone(session: &Session) -> Error {
    let error = Error::not_found("output_gone", format!("the output of session {} was removed", session.id))
        .with("session", &session.id)
        .with("state", session.state);
    match session.ended_at {
        Some(at) => error.with("ended_at", at.as_micros()),
        None => error,
    }
}

fn limit(query: &OutputQuery) -> Result<usize> {
    match query.limit_bytes.unwrap_or(PAGE_BYTES) {
        limit @ PAGE_BYTES_MIN..=PAGE_BYTES_MAX => Ok(limit),
        limit => Err(Error::invalid(
            "limit_out_of_range",
            format!("a page holds {PAGE_BYTES_MIN} to {PAGE_BYTES_MAX} bytes, not {limit}"),
        )
        .with("found", limit)),
    }
}

#[cfg(all(feature = "git", feature = "process"))]
struct Source<'a> {
    runtime: &'a dyn crate::runtime::ContainerRuntime,
    query: &'a OutputQuery,
}

#[cfg(all(feature = "git", feature = "process"))]
impl Source<'_> {
    async fn chunk(&self, offset: u64, bytes_max: usize) -> Result<crate::runtime::OutputChunk> {
        match self.query.stream {
            OutputStream::Output => self.runtime.output(&self.query.session, offset, bytes_max).await,
            OutputStream::Events => self.runtime.events(&self.query.session, offset, bytes_max).await,
        }
    }

    async fn read(&self, limit: usize, ended: bool, printed: u64) -> Result<OutputPage> {
        let after = self.query.after;
        let begins_inside = self.query.stream == OutputStream::Events && after > 0 && {
            let before = self.chunk(after - 1, 1).await?;
            before.offset == after - 1 && before.bytes.first().is_some_and(|byte| *byte != b'\n')
        };
        loop {
            let chunk = self.chunk(after, limit).await?;
            let is_full = chunk.bytes.len() >= limit;
            let whole = match whole(self.query.stream, &chunk.bytes) {
                // A line that does not fit is given in pieces.
                0 if is_full => whole(OutputStream::Output, &chunk.bytes),
                whole => whole,
            };
            let is_cut = whole < chunk.bytes.len();
            if is_full || !is_cut && !ended {
                return Ok(self.page(chunk.offset, begins_inside, chunk.bytes[..whole].to_vec()));
            }
            // What is at the end is either the live end, the last end, or the edge of what was dropped.
            let next = self.chunk(chunk.next_offset(), 1).await?;
            if !next.bytes.is_empty() && next.offset == chunk.next_offset() {
                if whole == 0 {
                    continue;
                }
                return Ok(self.page(chunk.offset, begins_inside, chunk.bytes[..whole].to_vec()));
            }
            if next.bytes.is_empty() && !ended {
                return Ok(self.page(chunk.offset, begins_inside, chunk.bytes[..whole].to_vec()));
            }
            let is_end = next.bytes.is_empty();
            let (is_output, is_empty) = (self.query.stream == OutputStream::Output, chunk.bytes.is_empty());
            let mut page = self.page(chunk.offset, begins_inside, chunk.bytes);
            if is_end && is_output && is_empty && page.offset < printed {
                page.dropped_bytes += printed - page.offset;
                (page.offset, page.next_offset) = (printed, printed);
            }
            page.is_final = is_end && (!is_output || page.next_offset >= printed);
            return Ok(page);
        }
    }

    fn page(&self, offset: u64, begins_inside: bool, bytes: Vec<u8>) -> OutputPage {
        let after = self.query.after;
        let is_events = self.query.stream == OutputStream::Events;
        // A page of less than a line shows nothing, so nothing was dropped before it either: that is told with the line.
        let offset = if bytes.is_empty() { after } else { offset };
        OutputPage {
            session: self.query.session.clone(),
            stream: self.query.stream,
            offset,
            next_offset: offset + bytes.len() as u64,
            dropped_bytes: offset - after,
            is_final: false,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            events: is_events.then(|| events(offset, begins_inside || offset > after, &bytes)),
            bytes: self.query.raw.then_some(bytes),
        }
    }
}

/// How many bytes may be shown now: up to the last whole character, or the last whole line of events.
#[cfg(all(feature = "git", feature = "process"))]
fn whole(stream: OutputStream, bytes: &[u8]) -> usize {
    if stream == OutputStream::Events {
        return bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => break,
        };
        // What is wrong already will not become right.
        let may_become = std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none());
        return if length > back && may_become { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(all(feature = "git", feature = "process"))]
fn events(offset: u64, is_cut: bool, bytes: &[u8]) -> Vec<SessionEvent> {
    let mut at = offset;
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let starts_at = at;
        at += line.len() as u64;
        let (body, is_whole) = line.strip_suffix(b"\n").map_or((line, false), |body| (body, true));
        if body.trim_ascii().is_empty() {
            continue;
        }
        let flawed = |flaw| SessionEvent {
            offset: starts_at,
            data: None,
            text: Some(String::from_utf8_lossy(body).into_owned()),
            flaw: Some(flaw),
        };
        lines.push(match serde_json::from_slice(body) {
            Ok(data) if is_whole && (!is_cut || starts_at > offset) => {
                SessionEvent { offset: starts_at, data: Some(data), text: None, flaw: None }
            }
            Err(_) if is_whole && (!is_cut || starts_at > offset) => flawed(EventFlaw::Malformed),
            _ => flawed(EventFlaw::Incomplete),
        });
    }
    lines
}

#[allow(clippy::ref_option, reason = "how serde calls it")]
fn base64<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let Some(bytes) = bytes else { return serializer.serialize_none() };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let place = (number >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= three.len() { char::from(DIGITS[place]) } else { '=' });
        }
    }
    serializer.serialize_str(&text)
}

/// A session's output as it comes, a page at a time.
///
/// It holds nothing in the town and slows nobody: what is dropped before it is read is counted in the next page.
#[derive(Debug)]
pub struct Follow {
    handle: Handle,
    query: OutputQuery,
    commits: tokio::sync::watch::Receiver<u64>,
    is_over: bool,
}

impl Follow {
    pub(super) fn new(handle: Handle, query: OutputQuery) -> Result<Self> {
        limit(&query)?;
        let commits = handle.town().shared.store.commits();
        Ok(Self { handle, query, commits, is_over: false })
    }

    /// The next page; waits for it, and answers none once the session has ended and everything was given.
    ///
    /// The last page is the only one with [`OutputPage::is_final`]; it is empty where the session ended without a word more.
    ///
    /// Dropped before it answers, it loses nothing: the next call gives the same page.
    ///
    /// # Errors
    /// `session_missing`, `output_gone`; `store_closed` once the town is closed; those of the scope.
    pub async fn next(&mut self) -> Result<Option<OutputPage>> {
        let operation = super::table::operation("sessions.output");
        operation.check(self.handle.scope())?;
        while !self.is_over {
            self.commits.mark_unchanged();
            let look = look(&self.handle, operation, &self.query).await?;
            if !look.page.is_empty() || look.page.is_final {
                self.query.after = look.page.next_offset;
                self.is_over = look.page.is_final;
                return Ok(Some(look.page));
            }
            #[cfg(all(feature = "git", feature = "process"))]
            self.wait(look.has_begun).await?;
        }
        Ok(None)
    }

    /// Waits until there may be more: more output, the end of the session, or its beginning.
    #[cfg(all(feature = "git", feature = "process"))]
    async fn wait(&mut self, has_begun: bool) -> Result<()> {
        let closed = |_| Error::unavailable("store_closed", "the town is closed");
        let commits = &mut self.commits;
        if !has_begun {
            return commits.changed().await.map_err(closed);
        }
        let runtime = self.handle.town().runtime();
        let OutputQuery { session, stream, after, .. } = &self.query;
        let town_closed = async {
            loop {
                if let Err(error) = commits.changed().await {
                    return error;
                }
            }
        };
        tokio::select! {
            grown = runtime.grown(session, *stream, *after) => match grown {
                Err(error) if error.code() != "session_unknown" => Err(error),
                _ => Ok(()),
            },
            ended = runtime.wait(session) => ended.map(drop),
            error = town_closed => Err(closed(error)),
        }
    }
}

//! Messages: JSON-RPC 2.0, where a method is an operation of the town and an error has our kind, code and facts beside.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::model::{Error, ErrorKind, Result};

/// The versions of the protocol that this build speaks, the newest last.
pub const VERSIONS: &[u32] = &[1];

/// The method of the first message.
pub const HELLO: &str = "hello";

/// The longest that a request can be given; what takes longer is followed by its journal.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

const ID_BYTES_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 1_000;

/// Names a request on its connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RequestId {
    /// A whole number.
    Number(u64),
    /// A text of at most 64 bytes.
    Text(String),
}

/// What is asked.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    jsonrpc: Version,
    /// Names it; its answer has the same.
    pub id: RequestId,
    /// The operation.
    pub method: String,
    /// Its input; an empty object where it is left out.
    #[serde(default = "nothing")]
    pub params: Json,
    /// Makes a repeat of a change harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How long its sender waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl std::fmt::Debug for Request {
    /// Without its input: that of the first message is a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, method, deadline_ms, .. } = self;
        f.debug_struct("Request")
            .field("id", id)
            .field("method", method)
            .field("deadline_ms", deadline_ms)
            .finish_non_exhaustive()
    }
}

fn nothing() -> Json {
    json!({})
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "2.0")]
    Two,
}

impl Request {
    /// A request without key and deadline.
    pub fn new(id: u64, method: impl Into<String>, params: Json) -> Self {
        let (id, method) = (RequestId::Number(id), method.into());
        Self { jsonrpc: Version::Two, id, method, params, key: None, deadline_ms: None }
    }

    /// How long it may take.
    pub fn deadline(&self) -> Duration {
        self.deadline_ms.map_or(DEADLINE_MAX, Duration::from_millis).min(DEADLINE_MAX)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// What is to be answered: `json_malformed` and `request_malformed`.
    pub fn read(frame: &[u8]) -> Result<Self, Box<Response>> {
        let json: Json = serde_json::from_slice(frame).map_err(|source| {
            Response::refused(None, &Error::invalid("json_malformed", "the frame is no JSON").because(source))
        })?;
        let id = json.get("id").and_then(|id| RequestId::deserialize(id).ok());
        let malformed = |said: String| {
            let error = Error::invalid("request_malformed", format!("a request of JSON-RPC 2.0 is wanted: {said}"));
            Box::new(Response::refused(id.clone(), &error))
        };
        let request = Self::deserialize(&json).map_err(|source| malformed(short(&source.to_string())))?;
        if matches!(&request.id, RequestId::Text(text) if text.len() > ID_BYTES_MAX) {
            return Err(malformed(format!("its id has more than {ID_BYTES_MAX} bytes")));
        }
        if request.key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(malformed(format!("its key has more than {KEY_BYTES_MAX} bytes")));
        }
        Ok(request)
    }
}

/// What a reader of JSON says, which may quote a caller at length.
fn short(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The input of the first message.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The versions of the protocol that the caller speaks.
    pub versions: Vec<u32>,
    /// What it may do, as a signed token.
    pub token: String,
}

impl Hello {
    /// Reads it from the first request.
    ///
    /// # Errors
    /// `hello_wanted` where it is another one, `request_malformed`, `protocol_unsupported`.
    pub fn read(request: Request) -> Result<(Self, u32)> {
        if request.method != HELLO {
            return Err(Error::invalid("hello_wanted", "the first message is hello, with a token"));
        }
        // What is wrong with it may quote the token, so that is not told.
        let hello = Self::deserialize(request.params).map_err(|_| {
            Error::invalid("request_malformed", "hello wants versions, a list of numbers, and token, a text")
        })?;
        let version = hello.versions.iter().copied().filter(|version| VERSIONS.contains(version)).max();
        let version = version.ok_or_else(|| {
            let ours = VERSIONS.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            Error::unsupported("protocol_unsupported", format!("this town speaks the protocol's versions {ours}"))
                .with("versions", ours)
        })?;
        Ok((hello, version))
    }
}

/// The answer to the first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Welcome {
    /// The version of the protocol from here on.
    pub version: u32,
    /// The version of the program that has the town open.
    pub gastown: String,
    /// How many requests of a connection are worked on at a time; later ones wait.
    pub requests_max: usize,
    /// The most bytes of a frame.
    pub frame_bytes_max: usize,
    /// Who the caller is.
    #[serde(flatten)]
    pub principal: Principal,
}

/// Who calls, as the token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Principal {
    /// The town.
    pub town: String,
    /// The caller's name in the journal.
    pub principal: String,
    /// The rig it is confined to.
    pub rig: Option<String>,
    /// The session of an agent.
    pub session: Option<String>,
    /// The bead that an agent works on.
    pub bead: Option<String>,
    /// The operations that its role and its token leave it. What of the town they reach is its scope's affair: who is
    /// confined to a rig is refused what is of the whole town.
    pub verbs: Vec<String>,
}

impl Principal {
    /// A caller of that name who may call these.
    pub fn new(town: impl Into<String>, principal: impl Into<String>, verbs: Vec<String>) -> Self {
        Self { town: town.into(), principal: principal.into(), rig: None, session: None, bead: None, verbs }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    jsonrpc: Version,
    /// The request's; none where that could not be read.
    pub id: Option<RequestId>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The operation's output.
    Result(Json),
    /// Why there is none.
    Error(Refusal),
}

/// An error on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The number that JSON-RPC gives it.
    pub code: i32,
    /// The sentence.
    pub message: String,
    /// What programs go by; none where the answer is not of ours.
    #[serde(default)]
    pub data: Option<RefusalData>,
}

/// What programs go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalData {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The stable code.
    pub code: String,
    /// The facts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

impl Response {
    /// The answer with an output.
    pub fn done(id: RequestId, output: Json) -> Self {
        Self { jsonrpc: Version::Two, id: Some(id), outcome: Outcome::Result(output) }
    }

    /// The answer with an error.
    pub fn refused(id: Option<RequestId>, error: &Error) -> Self {
        let code = match error.code() {
            "json_malformed" | "frame_malformed" => -32_700,
            "request_malformed" | "hello_wanted" => -32_600,
            "operation_unknown" => -32_601,
            "input_malformed" => -32_602,
            _ => -32_000,
        };
        let facts = error.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let data = Some(RefusalData { kind: error.kind(), code: error.code().to_owned(), facts });
        let outcome = Outcome::Error(Refusal { code, message: error.to_string(), data });
        Self { jsonrpc: Version::Two, id, outcome }
    }

    /// Its bytes as a frame; where they are too many, those of an error that says so.
    pub(super) fn framed(&self) -> Vec<u8> {
        let bytes = |response: &Self| serde_json::to_vec(response).expect("an answer is JSON");
        super::frame::framed(&bytes(self)).unwrap_or_else(|error| {
            let said = "the answer is too large for a frame; ask for a smaller page";
            let facts = error.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let error = Error::told(ErrorKind::Exhausted, "answer_too_large".to_owned(), said.to_owned(), facts);
            super::frame::framed(&bytes(&Self::refused(self.id.clone(), &error))).expect("an error is small")
        })
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.data {
            Some(RefusalData { kind, code, facts }) => Self::told(kind, code, refusal.message, facts),
            None => Self::internal("answer_malformed", format!("{} ({})", refusal.message, refusal.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_out_as_it_went_in() {
        let error = Error::conflict("bead_held", "bead gt-1 is held").with("bead", "gt-1").with("epoch", 4);
        let bytes = serde_json::to_vec(&Response::refused(Some(RequestId::Number(7)), &error)).unwrap();
        let response: Response = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(response.id, Some(RequestId::Number(7)));
        let Outcome::Error(refusal) = response.outcome else { panic!("{bytes:?}") };
        assert_eq!(format!("{:?}", Error::from(refusal)), format!("{error:?}"));
    }

    #[test]
    fn what_is_no_request_is_answered_with_what_is_wrong() {
        for (frame, code, id) in [
            (&b"nonsense"[..], "json_malformed", None),
            (b"[]", "request_malformed", None),
            (br#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, "request_malformed", None),
            (br#"{"jsonrpc":"2.0","method":"a"}"#, "request_malformed", None),
            (br#"{"jsonrpc":"1.0","id":3,"method":"a"}"#, "request_malformed", Some(RequestId::Number(3))),
            (br#"{"jsonrpc":"2.0","id":3,"method":"a","parms":1}"#, "request_malformed", Some(RequestId::Number(3))),
            (br#"{"jsonrpc":"2.0","id":-3,"method":"a"}"#, "request_malformed", None),
        ] {
            let response = Request::read(frame).unwrap_err();
            assert_eq!(response.id, id);
            let Outcome::Error(refusal) = response.outcome else { panic!("an error is wanted") };
            assert_eq!(refusal.data.unwrap().code, code, "{}", String::from_utf8_lossy(frame));
        }
    }

    #[test]
    fn a_hello_that_cannot_be_read_does_not_tell_its_token() {
        let request = Request::new(0, HELLO, json!({ "versions": "hunter2", "token": 7 }));
        assert!(!format!("{request:?}").contains("hunter2"));
        let Err(error) = Hello::read(request) else { panic!("it is refused") };
        assert!(error.code() == "request_malformed" && !format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn the_newest_version_that_both_speak_is_taken() {
        let hello =
            |versions: &[u32]| Hello::read(Request::new(0, HELLO, json!({ "versions": versions, "token": "t" })));
        assert_eq!(hello(&[0, 1, 99]).unwrap().1, 1);
        let Err(error) = hello(&[2]) else { panic!("it is refused") };
        assert_eq!((error.code(), error.fact("versions")), ("protocol_unsupported", Some("1")));
    }

    #[test]
    fn an_answer_that_is_too_large_is_an_error_that_says_so() {
        let text = "x".repeat(super::super::frame::FRAME_BYTES_MAX);
        let framed = Response::done(RequestId::Number(1), json!(text)).framed();
        let response: Response = serde_json::from_slice(&framed[4..]).unwrap();
        let Outcome::Error(refusal) = response.outcome else { panic!("an error is wanted") };
        assert_eq!(refusal.data.unwrap().code, "answer_too_large");
    }
}

//! What comes through the socket, from whoever connects.

use super::check_refusal;
use crate::model::Error;
use crate::socket::frame::{FRAME_BYTES_MAX, Frames, HELLO_BYTES_MAX, framed};
use crate::socket::message::{HELLO, Hello, Outcome, Request, Response};

/// The codes of what can be wrong with bytes that come.
const CODES: &[&str] = &["frame_malformed", "frame_too_large", "json_malformed", "request_malformed", "hello_wanted"];

/// Any bytes as what a caller sends: frames that are the same however they are cut, and each a request or a refusal.
pub(super) fn run(bytes: &[u8]) {
    for bytes_max in [HELLO_BYTES_MAX, FRAME_BYTES_MAX] {
        let (at_once, one_by_one) = (taken(bytes, bytes.len().max(1), bytes_max), taken(bytes, 1, bytes_max));
        assert_eq!(at_once, one_by_one, "frames depend on how their bytes come");
        for frame in &at_once.0 {
            read(frame);
        }
    }
    read(bytes);
    // The same as an answer, which another process gives.
    if let Ok(response) = serde_json::from_slice::<Response>(bytes) {
        let again = serde_json::to_vec(&response).expect("an answer is JSON");
        assert_eq!(serde_json::from_slice::<Response>(&again).ok(), Some(response));
    }
}

/// The frames in the bytes that come in pieces of this size, and why they end.
fn taken(bytes: &[u8], size: usize, bytes_max: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut frames, mut found) = (Frames::new(), Vec::new());
    for piece in bytes.chunks(size) {
        frames.push(piece);
        loop {
            match frames.next(bytes_max) {
                Ok(Some(frame)) => {
                    assert!(!frame.is_empty() && frame.len() <= bytes_max);
                    let again = framed(&frame).expect("a frame that came can go");
                    assert_eq!(again[4..], frame);
                    found.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    check_refusal(&error, CODES);
                    return (found, Some(error.to_string()));
                }
            }
        }
    }
    (found, None)
}

fn read(frame: &[u8]) {
    match Request::read(frame) {
        Ok(request) => {
            let is_hello = request.method == HELLO;
            match Hello::read(request) {
                Ok((hello, _)) => assert!(is_hello && !hello.versions.is_empty()),
                Err(error) if error.code() == "protocol_unsupported" => assert!(is_hello),
                Err(error) => check_refusal(&error, CODES),
            }
        }
        Err(response) => match response.outcome {
            Outcome::Error(refusal) => check_refusal(&Error::from(refusal), CODES),
            Outcome::Result(_) => panic!("what cannot be read has no output"),
        },
    }
}

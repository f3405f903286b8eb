//! Frames: four bytes of length, the most significant first, and so many bytes of JSON.
//!
//! The bytes of another protocol are refused by the first four of them: a letter or a version in front gives a length that
//! no frame has.

use crate::model::{Error, Result};

/// The most bytes in a frame: the four texts of a bead have a MiB each, and JSON writes some characters as two.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// The most bytes in the first frame, whose sender nobody knows yet: a token and a few words.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

const LENGTH_BYTES: usize = 4;

/// Takes frames out of bytes as they come.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a frame has begun that is not whole.
    pub fn is_inside(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole frame of at most so many bytes; none where bytes of it are missing.
    ///
    /// # Errors
    /// `frame_malformed` where no frame begins like that, `frame_too_large`. Nothing that follows can be told apart then.
    pub fn next(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>> {
        let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(Error::invalid(
                "frame_malformed",
                format!("a frame begins with its length in four bytes, 1 to {FRAME_BYTES_MAX}; this begins otherwise"),
            )
            .with("length", length));
        }
        if length > bytes_max {
            return Err(too_large(length, bytes_max));
        }
        if self.bytes.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let frame = self.bytes[LENGTH_BYTES..LENGTH_BYTES + length].to_vec();
        self.bytes.drain(..LENGTH_BYTES + length);
        Ok(Some(frame))
    }
}

/// The frame of these bytes.
///
/// # Errors
/// `frame_too_large`.
pub fn framed(bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| too_large(bytes.len(), FRAME_BYTES_MAX))?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

fn too_large(length: usize, bytes_max: usize) -> Error {
    Error::exhausted("frame_too_large", format!("a frame has at most {bytes_max} bytes here, not {length}"))
        .with("bytes", length)
        .with("bytes_max", bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_are_cut() {
        let bytes = [framed(b"{}").unwrap(), framed(&[b' '; 300]).unwrap()].concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut found) = (Frames::new(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(frame) = frames.next(FRAME_BYTES_MAX).unwrap() {
                    found.push(frame.len());
                }
            }
            assert_eq!(found, [2, 300], "in pieces of {size}");
            assert!(!frames.is_inside());
        }
    }

    #[test]
    fn what_another_protocol_begins_with_is_no_frame() {
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"{\"jsonrpc\":", b"\x00\x00\x00\x00\x2a{}", b"\x01\x00\x00\x00\x2a{}"]
        {
            let mut frames = Frames::new();
            frames.push(other);
            assert_eq!(frames.next(FRAME_BYTES_MAX).unwrap_err().code(), "frame_malformed", "{other:?}");
        }
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_length_alone() {
        let mut frames = Frames::new();
        frames.push(&u32::to_be_bytes(1 << 20));
        let error = frames.next(HELLO_BYTES_MAX).unwrap_err();
        assert_eq!((error.code(), error.fact("bytes")), ("frame_too_large", Some("1048576")));
        assert_eq!(framed(&vec![0; FRAME_BYTES_MAX + 1]).unwrap_err().code(), "frame_too_large");
    }
}

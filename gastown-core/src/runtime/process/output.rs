//! What a session prints: numbered segments of one size, of which the first half and the end are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use nix::fcntl::OFlag;

use crate::model::Timestamp;
use crate::runtime::OutputChunk;

/// The size of a segment unless the kept output is small.
const SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// The size of a segment for that much kept output: a sixteenth, between 4 KiB and 1 MiB.
pub(super) fn segment_bytes(output_bytes_max: u64) -> u64 {
    (output_bytes_max / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES)
}

/// How many segments are kept for ever from the first on, and how many of the last.
fn shares(output_bytes_max: u64, segment_bytes: u64) -> (u64, u64) {
    let segments = (output_bytes_max / segment_bytes).max(u64::from(output_bytes_max > 0));
    (segments / 2, segments - segments / 2)
}

/// Counters that the lease shows while the writer works.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    last_at: AtomicI64,
}

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        match self.last_at.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }
}

/// Appends to the segments of one session; never more than the bound is on disk, and nothing makes the writer wait.
#[derive(Debug)]
pub(super) struct OutputLog {
    folder: PathBuf,
    segment_bytes: u64,
    /// Segments of the head, kept for ever.
    head: u64,
    /// Segments after the head that are kept at a time.
    tail: u64,
    current: Option<File>,
    bytes: u64,
    dropped: u64,
    broken: bool,
    progress: Arc<Progress>,
}

impl OutputLog {
    pub(super) fn new(folder: PathBuf, output_bytes_max: u64, segment_bytes: u64, progress: Arc<Progress>) -> Self {
        let (head, tail) = shares(output_bytes_max, segment_bytes);
        Self { folder, segment_bytes, head, tail, current: None, bytes: 0, dropped: 0, broken: false, progress }
    }

    /// Appends; a disk that refuses makes the rest count as dropped, because an agent must not wait for it.
    pub(super) fn append(&mut self, mut bytes: &[u8], at: Timestamp) {
        while !bytes.is_empty() {
            let room = self.segment_bytes - self.bytes % self.segment_bytes;
            let part;
            (part, bytes) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let mut kept = 0;
            if let Err(error) = self.append_part(part, &mut kept) {
                tracing::warn!(folder = %self.folder.display(), %error, "output is not kept any more");
                self.broken = true;
            }
            self.dropped += (part.len() - kept) as u64;
            self.bytes += part.len() as u64;
        }
        self.progress.bytes.store(self.bytes, Ordering::Relaxed);
        self.progress.last_at.store(at.as_micros(), Ordering::Relaxed);
    }

    /// How many bytes came, and how many of them are not on disk.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.bytes, self.dropped)
    }

    /// Counts in `kept` what reached the file, also where it fails: a disk that fills up takes a part of a write.
    fn append_part(&mut self, part: &[u8], kept: &mut usize) -> io::Result<()> {
        if self.broken || self.tail == 0 {
            return Ok(());
        }
        let number = self.bytes / self.segment_bytes + 1;
        if self.bytes.is_multiple_of(self.segment_bytes) {
            if let Some(oldest) = number.checked_sub(self.tail).filter(|oldest| *oldest > self.head) {
                // Gone already is as good.
                match fs::remove_file(segment(&self.folder, oldest)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                self.dropped += self.segment_bytes;
            }
            let path = segment(&self.folder, number);
            self.current = Some(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?);
        }
        let file = self.current.as_mut().expect("the first byte of a segment opens it");
        while *kept < part.len() {
            match file.write(&part[*kept..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => *kept += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the folder shows of the output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Printed {
    pub(super) bytes: u64,
    pub(super) kept_bytes: u64,
    pub(super) last_at: Option<Timestamp>,
}

/// Looks at the segments.
pub(super) fn printed(folder: &Path, segment_bytes: u64) -> io::Result<Printed> {
    let numbers = segments(folder)?;
    let Some(last) = numbers.last() else { return Ok(Printed::default()) };
    let (bytes, last_at) = match fs::metadata(segment(folder, *last)) {
        Ok(found) => (found.len(), Some(Timestamp::from_system(found.modified()?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (0, None),
        Err(error) => return Err(error),
    };
    Ok(Printed {
        bytes: (last - 1) * segment_bytes + bytes,
        kept_bytes: (numbers.len() as u64 - 1) * segment_bytes + bytes,
        last_at,
    })
}

/// The segments of a session to which nothing is added any more.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    /// What is missing before the last segment, or too short, in words.
    pub(super) gap: Option<String>,
}

/// Looks whether the segments are those that the writer kept, each whole but the last.
pub(super) fn kept(folder: &Path, output_bytes_max: u64, segment_bytes: u64) -> io::Result<Kept> {
    let numbers = segments(folder)?;
    let mut kept = Kept::default();
    let Some(&last) = numbers.last() else { return Ok(kept) };
    let (head, tail) = shares(output_bytes_max, segment_bytes);
    let first_of_tail = (last + 1).saturating_sub(tail).max(1);
    for number in (1..=head.min(last)).chain(first_of_tail.max(head + 1)..=last) {
        let length = match fs::metadata(segment(folder, number)) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                kept.gap.get_or_insert_with(|| format!("segment {number} is missing"));
                continue;
            }
            Err(error) => return Err(error),
        };
        kept.bytes += length;
        if length > segment_bytes || length < segment_bytes && number < last {
            kept.gap.get_or_insert_with(|| format!("segment {number} has {length} bytes instead of {segment_bytes}"));
        }
    }
    Ok(kept)
}

/// Reads from `offset` on, or from the next kept byte after it.
pub(super) fn read(folder: &Path, segment_bytes: u64, offset: u64, bytes_max: usize) -> io::Result<OutputChunk> {
    let mut number = offset / segment_bytes + 1;
    let mut chunk = OutputChunk::new(offset, Vec::new());
    loop {
        let starts_at = (number - 1) * segment_bytes;
        let is_first = chunk.bytes.is_empty();
        let place = chunk.next_offset().max(starts_at);
        // A pipe that an agent put in a segment's place would otherwise be waited for.
        let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(segment(folder, number));
        let found = match opened {
            Ok(file) => read_at(file, place - starts_at, bytes_max - chunk.bytes.len(), &mut chunk.bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if is_first && found > 0 {
            chunk.offset = place;
        }
        if chunk.bytes.len() >= bytes_max {
            return Ok(chunk);
        }
        if found > 0 && chunk.next_offset() == starts_at + segment_bytes {
            number += 1;
        } else if found > 0 || !is_first {
            return Ok(chunk);
        } else {
            match segments(folder)?.into_iter().find(|kept| *kept > number) {
                None => return Ok(chunk),
                // Segments come in order, so once a later one is there this one is whole, or dropped for ever.
                Some(later) => match fs::metadata(segment(folder, number)) {
                    Ok(whole) if whole.len() > place - starts_at => {}
                    Ok(_) => number = later,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => number = later,
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

fn read_at(mut file: File, place: u64, bytes_max: usize, into: &mut Vec<u8>) -> io::Result<usize> {
    file.seek(SeekFrom::Start(place))?;
    file.take(bytes_max as u64).read_to_end(into)
}

fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max: u64) -> OutputLog {
        OutputLog::new(folder.to_owned(), max, segment_bytes(max), Arc::new(Progress::default()))
    }

    #[test]
    fn the_head_and_the_end_of_long_output_are_kept_and_the_middle_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (max, size) = (64 << 10, 4 << 10);
        assert_eq!(segment_bytes(max), size);
        let mut log = log(folder.path(), max);
        let all: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for piece in all.chunks(777) {
            log.append(piece, Timestamp::from_micros(1));
        }
        let (bytes, dropped) = log.totals();
        assert_eq!(bytes, 300_000);
        let seen = printed(folder.path(), size).unwrap();
        assert_eq!((seen.bytes, seen.bytes - seen.kept_bytes), (bytes, dropped));
        assert!(seen.kept_bytes <= max);

        let head = read(folder.path(), size, 0, usize::MAX).unwrap();
        assert_eq!(head.offset, 0);
        assert_eq!(head.bytes, all[..32 << 10]);
        let tail = read(folder.path(), size, head.next_offset(), usize::MAX).unwrap();
        assert_eq!(tail.offset, head.next_offset() + dropped);
        assert_eq!(tail.bytes, all[usize::try_from(tail.offset).unwrap()..]);
        assert_eq!(read(folder.path(), size, bytes, 10).unwrap(), OutputChunk::new(bytes, Vec::new()));
    }

    #[test]
    fn a_segment_that_somebody_removed_does_not_end_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (max, size) = (64 << 10, 4 << 10);
        let mut log = log(folder.path(), max);
        let all = vec![7; 300_000];
        let (begun, rest) = all.split_at(64 << 10);
        log.append(begun, Timestamp::from_micros(1));
        // The first of those that make room.
        fs::remove_file(segment(folder.path(), 9)).unwrap();
        log.append(rest, Timestamp::from_micros(1));
        let seen = printed(folder.path(), size).unwrap();
        assert_eq!((seen.bytes, seen.bytes - seen.kept_bytes), log.totals());
        assert!(seen.kept_bytes > max / 2);
    }

    #[test]
    fn output_is_read_in_pieces_across_segments() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 64 << 10);
        let all: Vec<u8> = (0..10_000_u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
        log.append(&all, Timestamp::from_micros(1));
        let mut back = Vec::new();
        loop {
            let chunk = read(folder.path(), 4 << 10, back.len() as u64, 1000).unwrap();
            if chunk.bytes.is_empty() {
                break;
            }
            assert_eq!(chunk.offset, back.len() as u64);
            back.extend(chunk.bytes);
        }
        assert_eq!(back, all);
    }

    #[test]
    fn readers_beside_a_writer_see_every_kept_byte_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (max, size, count) = (64 << 10, 4 << 10, 2_000_000_u32);
        let byte = |at: u64| u8::try_from(at % 251).unwrap();
        let mut log = log(folder.path(), max);
        let writer = std::thread::spawn(move || {
            let all: Vec<u8> = (0..count).map(|n| byte(n.into())).collect();
            all.chunks(1_111).for_each(|piece| log.append(piece, Timestamp::from_micros(1)));
            log.totals()
        });
        let (mut seen, mut missed, mut offset) = (0, 0, 0);
        loop {
            let over = writer.is_finished();
            let chunk = read(folder.path(), size, offset, 3_000).unwrap();
            assert!(chunk.offset >= offset);
            assert!(chunk.bytes.iter().zip(chunk.offset..).all(|(found, at)| *found == byte(at)));
            assert!(chunk.offset < (32 << 10) || chunk.offset == offset || offset >= 32 << 10, "the head has no gap");
            missed += chunk.offset - offset;
            seen += chunk.bytes.len() as u64;
            offset = chunk.next_offset();
            if over && chunk.bytes.is_empty() {
                break;
            }
        }
        let (bytes, dropped) = writer.join().unwrap();
        assert_eq!((offset, seen + missed), (bytes, bytes));
        assert!(missed <= dropped, "a reader misses nothing that is kept");
    }

    #[test]
    fn a_segment_cut_short_by_a_loss_of_power_hides_no_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 64 << 10);
        log.append(&[b'x'; 10_000], Timestamp::from_micros(1));
        File::options().write(true).open(segment(folder.path(), 2)).unwrap().set_len(100).unwrap();
        let first = read(folder.path(), 4 << 10, 0, usize::MAX).unwrap();
        assert_eq!((first.offset, first.next_offset()), (0, 4_196));
        let second = read(folder.path(), 4 << 10, first.next_offset(), usize::MAX).unwrap();
        assert_eq!((second.offset, second.next_offset()), (8_192, 10_000));
    }

    #[test]
    fn a_bound_of_nothing_keeps_nothing_and_counts_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 0);
        log.append(b"hello", Timestamp::from_micros(1));
        assert_eq!(log.totals(), (5, 5));
    }
}

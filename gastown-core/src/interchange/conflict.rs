//! The markers that an unfinished merge leaves in a file.

use super::flaw::excerpt;

/// A side of an unfinished merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Between `<<<<<<<` and the next marker.
    Ours,
    /// What both began with: between `|||||||` and `=======`.
    Base,
    /// Between `=======` and `>>>>>>>`.
    Theirs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Begin,
    Base,
    Between,
    End,
}

impl Marker {
    /// The marker a line is: seven of its sign, then nothing or a space.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let marker = match line.first()? {
            b'<' => Self::Begin,
            b'|' => Self::Base,
            b'=' => Self::Between,
            b'>' => Self::End,
            _ => return None,
        };
        let signs = line.iter().take_while(|byte| **byte == line[0]).count();
        (signs == 7 && matches!(line.get(7), None | Some(b' '))).then_some(marker)
    }
}

/// Where the reader is among the markers.
///
/// Merges of merges leave markers inside markers; the inner ones only change the side, and the outermost end closes.
#[derive(Debug, Default)]
pub(super) struct Sides {
    side: Option<Side>,
    /// The line of the outermost begin.
    begun: u64,
    depth: u32,
}

impl Sides {
    pub(super) fn side(&self) -> Option<Side> {
        self.side
    }

    /// The line where a conflict begins that has no end; told once.
    pub(super) fn unfinished(&mut self) -> Option<u64> {
        self.side.take().map(|_| self.begun)
    }

    /// Goes past a marker and says what it is.
    pub(super) fn pass(&mut self, marker: Marker, number: u64, line: &[u8]) -> String {
        let name = excerpt(String::from_utf8_lossy(line.get(7..).unwrap_or_default()).trim());
        let name = if name.is_empty() { name } else { format!(" ({name})") };
        let outside = self.side.is_none();
        match marker {
            Marker::Begin => {
                self.depth = self.depth.saturating_add(1);
                self.side = Some(Side::Ours);
                if outside {
                    self.begun = number;
                    return format!("an unfinished merge begins{name}");
                }
                format!("another merge begins{name} within the one of line {}", self.begun)
            }
            _ if outside => format!("a marker of a merge{name} that did not begin"),
            Marker::Base => {
                self.side = Some(Side::Base);
                format!("the common base{name} of the merge of line {}", self.begun)
            }
            Marker::Between => {
                self.side = Some(Side::Theirs);
                format!("the other side of the merge of line {}", self.begun)
            }
            Marker::End => {
                self.depth = self.depth.saturating_sub(1);
                self.side = if self.depth == 0 { None } else { Some(Side::Theirs) };
                format!("the merge of line {} ends{name}", self.begun)
            }
        }
    }
}

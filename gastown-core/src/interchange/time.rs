//! Points in time as interchange files spell them.

use std::fmt;

use crate::model::Timestamp;

/// A point in time, and how it was spelled where that is not how it is written here.
///
/// The text is kept to the digit (nanoseconds, local offsets); it is used again only while it still means `at`.
///
/// ```
/// use gastown_core::interchange::Time;
/// let time = Time::parse("2025-10-11T20:00:00.123456-07:00").unwrap();
/// assert_eq!(time.canonical(), "2025-10-12T03:00:00.123456Z");
/// assert_eq!(time.to_string(), "2025-10-11T20:00:00.123456-07:00");
/// assert_eq!(Time::parse("2025-10-11T20:00:00Z").unwrap().text, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// When, in whole microseconds (rounded down).
    pub at: Timestamp,
    /// The original spelling where it is not the canonical one.
    pub text: Option<Box<str>>,
}

impl Time {
    /// That moment, spelled canonically.
    pub const fn new(at: Timestamp) -> Self {
        Self { at, text: None }
    }

    /// The moment a text names: RFC 3339, a space for the `T` and a missing offset (taken as UTC) allowed; nothing where it names none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_noting(text).map(|(time, _)| time)
    }

    /// The same, and whether the text keeps to RFC 3339.
    pub(super) fn parse_noting(text: &str) -> Option<(Self, bool)> {
        let (at, is_strict) = read(text.as_bytes())?;
        Some((Self { at, text: (!is_canonical(text, at)).then(|| text.into()) }, is_strict))
    }

    /// That moment with an earlier spelling, which is kept only if it still means the moment and is not the canonical one.
    #[must_use]
    pub fn spelled(mut self, text: &str) -> Self {
        let means_it = read(text.as_bytes()).is_some_and(|(at, _)| at == self.at);
        self.text = (means_it && !is_canonical(text, self.at)).then(|| text.into());
        self
    }

    /// RFC 3339 in UTC with `Z` and exactly the digits needed.
    pub fn canonical(&self) -> String {
        let mut text = Vec::with_capacity("0000-00-00T00:00:00.000000Z".len());
        put_canonical(self.at, &mut text);
        String::from_utf8(text).expect("a time is ASCII")
    }

    /// The spelling, where it still means the moment: any, or only one that keeps to RFC 3339.
    pub(super) fn valid_text(&self, only_strict: bool) -> Option<&str> {
        let text = self.text.as_deref()?;
        let (at, is_strict) = read(text.as_bytes())?;
        (at == self.at && (is_strict || !only_strict)).then_some(text)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&self.canonical()),
        }
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self::new(at)
    }
}

/// Appends what [`Time::canonical`] gives.
pub(super) fn put_canonical(at: Timestamp, out: &mut Vec<u8>) {
    match at.digits() {
        Some(text) => out.extend_from_slice(&text),
        None => out.extend_from_slice(at.to_string().as_bytes()),
    }
    // The six digits of the fraction and its point stand before the Z.
    out.pop();
    let whole = out.len() - ".000000".len();
    while out.last() == Some(&b'0') && out.len() > whole {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
    out.push(b'Z');
}

/// Whether a text that means `at` is what [`Time::canonical`] gives.
fn is_canonical(text: &str, at: Timestamp) -> bool {
    let bytes = text.as_bytes();
    let has_marks = bytes.get(10) == Some(&b'T') && bytes.last() == Some(&b'Z');
    let fraction = match bytes.len() {
        20 => true,
        22..=27 => bytes[bytes.len() - 2] != b'0',
        _ => false,
    };
    // A leap second is the only other way to write a moment in these places.
    has_marks && fraction && &bytes[17..19] != b"60" && at.as_micros() >= FIRST
}

/// The first moment of the year 0, before which years have no four digits.
const FIRST: i64 = -62_167_219_200_000_000;

/// The moment, and whether the text keeps to RFC 3339.
fn read(text: &[u8]) -> Option<(Timestamp, bool)> {
    let number = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?
            .iter()
            .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let sign = |at: usize, allowed: &[u8]| text.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(sign(4, b"-") && sign(7, b"-") && sign(10, b"Tt ") && sign(13, b":") && sign(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut end = 19;
    let mut micros = 0;
    if sign(end, b".") {
        let digits = text[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 64 {
            return None;
        }
        for place in 0..6 {
            let digit = if place < digits { i64::from(text[end + 1 + place] - b'0') } else { 0 };
            micros = micros * 10 + digit;
        }
        end += 1 + digits;
    }
    let (offset, offset_given) = match text.get(end..)? {
        [] => (0, false),
        [b'Z' | b'z'] => (0, true),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(end + 1, end + 3)?, number(end + 4, end + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            (if *sign == b'-' { -minutes } else { minutes }, true)
        }
        _ => return None,
    };
    let seconds = day_number(year, month, day) * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    let at = Timestamp::from_micros(seconds * 1_000_000 + micros);
    // By its offset it may lie in a year without four digits, which nobody could read back.
    at.is_in_calendar().then_some((at, offset_given && sign(10, b"Tt")))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 by the proleptic Gregorian calendar, with years that begin in March.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_is_read_back_from_its_canonical_text() {
        for micros in
            [0, 1, -1, 1_709_210_096_000_007, 1_709_164_800_000_000, -62_167_219_200_000_000, 253_402_300_799_999_999]
        {
            let time = Time::new(Timestamp::from_micros(micros));
            assert_eq!(Time::parse(&time.canonical()), Some(time));
        }
    }

    #[test]
    fn the_canonical_text_has_the_digits_needed() {
        let text = |micros| Time::new(Timestamp::from_micros(micros)).canonical();
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(10_000_000), "1970-01-01T00:00:10Z");
        assert_eq!(text(500_000), "1970-01-01T00:00:00.5Z");
        assert_eq!(text(1), "1970-01-01T00:00:00.000001Z");
    }

    #[test]
    fn another_spelling_is_kept_to_the_digit() {
        for text in [
            "2026-01-17T03:46:16.079138437Z",
            "2025-10-12T14:07:04.500-07:00",
            "2025-10-12T14:07:04.0Z",
            "2025-10-12 14:07:04",
            "2016-12-31T23:59:60Z",
        ] {
            let time = Time::parse(text).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::new(time.at).spelled(text), time, "the spelling is taken back for the same moment");
            assert_eq!(Time::new(Timestamp::from_micros(5)).spelled(text).text, None, "and not for another");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00+1",
            "20250101T000000Z",
            "2025-01-01T00:00:00Zé",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}

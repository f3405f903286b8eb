//! Points in time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Result;
use super::value::{Cell, ColumnType, ColumnValue};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whether it lies in the years 0 to 9999, as what is written with four digits of a year.
    pub const fn is_in_calendar(self) -> bool {
        -62_167_219_200_000_000 <= self.0 && self.0 <= 253_402_300_799_999_999
    }

    /// The time as `system` has it.
    pub fn from_system(system: SystemTime) -> Self {
        match system.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |n| -n)),
        }
    }

    /// How long after `earlier`; zero where it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// That much earlier, at least the first time there is.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// That much later, at most the last time there is.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Until when a lease holds that held until `held` and is renewed until `self`: never shorter, but where it would hold
    /// longer by more than [`LEAP_MAX`]; then the clock was ahead when it was taken, and nobody would ever wait it out.
    pub(crate) fn renewing(self, held: Self) -> Self {
        if held > self.after(LEAP_MAX) { self } else { self.max(held) }
    }
}

/// The most by which a clock that goes back counts as wrong now, and not as wrong before.
const LEAP_MAX: Duration = Duration::from_secs(2 * 3_600);

impl Timestamp {
    /// As it is written; none for a year that has not four digits.
    ///
    /// Lists and exports write times by the million, and a format of seven numbers is most of what a line costs.
    pub(crate) fn digits(self) -> Option<[u8; 27]> {
        let (days, micros) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (year, month, day) = civil(days);
        if !(0..=9_999).contains(&year) {
            return None;
        }
        let seconds = micros / 1_000_000;
        let numbers = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, seconds / 3600),
            (14..16, seconds / 60 % 60),
            (17..19, seconds % 60),
            (20..26, micros % 1_000_000),
        ];
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (places, mut number) in numbers {
            for digit in text[places].iter_mut().rev() {
                *digit += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        Some(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.digits() {
            return f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?);
        }
        let (days, micros) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (year, month, day) = civil(days);
        let seconds = micros / 1_000_000;
        let (hour, minute, second, micros) = (seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Year, month and day of a day number, by the proleptic Gregorian calendar: eras of 400 years, years from March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl ColumnValue for Timestamp {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_cell(&self) -> Cell<'_> {
        Cell::Int(self.0)
    }
    fn from_cell(cell: &Cell<'_>) -> Result<Self> {
        i64::from_cell(cell).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_micros(1_709_210_096_000_007).to_string(), "2024-02-29T12:34:56.000007Z");
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(-62_167_219_200_000_000).to_string(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_micros(-62_167_219_200_000_001).to_string(), "-001-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(253_402_300_799_999_999).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(253_402_300_800_000_000).to_string(), "10000-01-01T00:00:00.000000Z");
    }
}

//! Moments as people write them.

use std::time::Duration;

use crate::model::Timestamp;

const DAY: i64 = 86_400_000_000;

/// A stretch of time from its first microsecond to its last, which of a moment are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// `7d`, `24h`, `30m`, `2w`: that long ago; with `+` that far ahead; a date, or a date and a time. None where it is no
/// such text.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Span> {
    let moment = |at| Span { first: at, last: at };
    if let Some(ahead) = text.strip_prefix('+') {
        return duration(ahead).map(|ahead| moment(now.after(ahead)));
    }
    if let Some(ago) = duration(text.strip_prefix('-').unwrap_or(text)) {
        return Some(moment(now.before(ago)));
    }
    let (date, time) = match text.find(['T', 't', '_']) {
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
        None => match text.split_once(' ') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        },
    };
    let midnight = midnight(date)?;
    match time {
        None => Some(Span {
            first: Timestamp::from_micros(midnight),
            last: Timestamp::from_micros(midnight.checked_add(DAY - 1)?),
        }),
        Some(time) => midnight.checked_add(of_day(time)?).map(Timestamp::from_micros).map(moment),
    }
}

/// A number with a unit, also `2h30m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..unit_at)?.parse().ok()?;
        let mut chars = rest.get(unit_at..)?.chars();
        let unit = match chars.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = chars.as_str();
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// Digits only, so many of them.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The microsecond a day begins with, UTC.
fn midnight(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=days_of_month).contains(&day) {
        return None;
    }
    // Years from March, in eras of 400 years.
    let shifted_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468).checked_mul(DAY)
}

/// Microseconds since midnight UTC: `HH:MM`, `HH:MM:SS`, `HH:MM:SS.f`, each with `Z` or `±HH:MM` behind it or nothing.
fn of_day(time: &str) -> Option<i64> {
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, time.get(at..)?),
        None => (time, "Z"),
    };
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let is_fraction =
                !fraction.is_empty() && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
            if !is_fraction {
                return None;
            }
            let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
            (digits(whole, 2)?, padded.parse::<i64>().ok()?)
        }
    };
    // A leap second is the last second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let east = match offset.strip_prefix(['Z', 'z']) {
        Some("") => 0,
        Some(_) => return None,
        None => {
            let (sign, rest) = offset.split_at_checked(1)?;
            let (hours, minutes) = rest.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
    };
    Some(((hour * 60 + minute - east) * 60 + second.min(59)) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn at(text: &str) -> String {
        parse(text, NOW).map_or_else(|| "none".to_owned(), |span| span.first.to_string())
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(at("2024-02-29"), "2024-02-29T00:00:00.000000Z");
        assert_eq!(parse("2024-02-29", NOW).unwrap().last.to_string(), "2024-02-29T23:59:59.999999Z");
        assert_eq!(at("2024-02-29T12:34:56.000007Z"), "2024-02-29T12:34:56.000007Z");
        assert_eq!(at("2024-02-29T12:34:56.123456789+02:30"), "2024-02-29T10:04:56.123456Z");
        assert_eq!(at("2024-02-29 23:30-01:00"), "2024-03-01T00:30:00.000000Z");
        assert_eq!(at("0000-03-01"), "0000-03-01T00:00:00.000000Z");
        assert_eq!(at("1d"), "2023-11-13T22:13:20.000000Z");
        assert_eq!(at("+1h30m"), "2023-11-14T23:43:20.000000Z");
        for wrong in [
            "",
            "7",
            "d",
            "7x",
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "24-01-01",
            "2024-01-01T",
            "2024-01-01T25:00",
            "2024-01-01T1:00",
            "2024-01-01T10:00Zx",
            "2024-01-01T10:00+2",
            "2024-01-01T10:00:00.",
            "99999999999999999999d",
            "9999999999999999999w",
            "2024-01-01-01",
            "+",
            "-",
            "é",
            "2024-01-01T1é:00",
        ] {
            assert_eq!(at(wrong), "none", "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_moment_is_read_back(micros in 0_i64..250_000_000_000_000_000) {
            let moment = Timestamp::from_micros(micros);
            let read = parse(&moment.to_string(), NOW);
            prop_assert_eq!(read, Some(Span { first: moment, last: moment }));
        }

        #[test]
        fn nothing_that_is_written_panics(text in any::<String>(), near in "[0-9TZ:.+ _-]{0,30}") {
            let _ = (parse(&text, NOW), parse(&near, NOW));
        }
    }
}

//! `strftime_now(format)`: the time of the render, which the caller gives, so that a prompt can be
//! rendered again to the same bytes.

use std::fmt::Write;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

/// A time and how far the local clock is from UTC.
#[derive(Clone, Copy, Debug)]
pub struct LocalTime {
    pub unix_s: i64,
    pub utc_offset_s: i32,
}

pub fn install(environment: &mut Environment<'_>, now: LocalTime) {
    environment.add_function("strftime_now", move |format: &str| strftime(now, format).map(Value::from));
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

struct Civil {
    year: i64,
    month: i64,       // 1 to 12
    day: i64,         // 1 to 31
    day_of_year: i64, // 1 to 366
    weekday: i64,     // 0: Sunday
    hour: i64,
    minute: i64,
    second: i64,
}

/// The proleptic Gregorian date, counted in eras of 400 years that begin on 1 March.
fn civil(now: LocalTime) -> Civil {
    // Beyond these bounds the sums below could overflow; no clock is there.
    let local = now.unix_s.clamp(-(1 << 40), 1 << 40) + i64::from(now.utc_offset_s);
    let days = local.div_euclid(86_400);
    let second = local.rem_euclid(86_400);
    let from_era = days + 719_468; // days from 1 March of year 0
    let era = from_era.div_euclid(146_097);
    let day_of_era = from_era.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_from_march + 2) / 153;
    let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let day_of_year = if month > 2 { day_from_march + 60 + i64::from(leap) } else { day_from_march - 305 };
    Civil {
        year,
        month,
        day,
        day_of_year,
        weekday: (days + 4).rem_euclid(7),
        hour: second / 3_600,
        minute: second / 60 % 60,
        second: second % 60,
    }
}

/// `datetime.now().strftime(format)` in the C locale. `%-d` and the like drop the padding.
fn strftime(now: LocalTime, format: &str) -> Result<String, Error> {
    let c = civil(now);
    let mut out = String::with_capacity(format.len() + 16);
    let mut chars = format.chars();
    while let Some(character) = chars.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = chars.next();
        let bare = directive == Some('-');
        if bare {
            directive = chars.next();
        }
        let mut digits = |value: i64, width: usize| {
            let _ = if bare { write!(out, "{value}") } else { write!(out, "{value:0width$}") };
        };
        let hour_12 = (c.hour + 11) % 12 + 1;
        match directive {
            Some('Y') => digits(c.year, 4),
            Some('y') => digits(c.year.rem_euclid(100), 2),
            Some('m') => digits(c.month, 2),
            Some('d') => digits(c.day, 2),
            Some('e') => {
                let _ = write!(out, "{:2}", c.day);
            }
            Some('j') => digits(c.day_of_year, 3),
            Some('H') => digits(c.hour, 2),
            Some('I') => digits(hour_12, 2),
            Some('M') => digits(c.minute, 2),
            Some('S') => digits(c.second, 2),
            Some('f') => digits(0, 6),
            Some('w') => digits(c.weekday, 1),
            Some('u') => digits((c.weekday + 6) % 7 + 1, 1),
            Some('U') => digits((c.day_of_year + 6 - c.weekday) / 7, 2),
            Some('W') => digits((c.day_of_year + 6 - (c.weekday + 6) % 7) / 7, 2),
            Some('s') => digits(now.unix_s, 1),
            Some('B') => out.push_str(MONTHS[c.month as usize - 1]),
            Some('b' | 'h') => out.push_str(&MONTHS[c.month as usize - 1][..3]),
            Some('A') => out.push_str(WEEKDAYS[c.weekday as usize]),
            Some('a') => out.push_str(&WEEKDAYS[c.weekday as usize][..3]),
            Some('p') => out.push_str(if c.hour < 12 { "AM" } else { "PM" }),
            Some('F') => out.push_str(&strftime(now, "%Y-%m-%d")?),
            Some('T' | 'X') => out.push_str(&strftime(now, "%H:%M:%S")?),
            Some('R') => out.push_str(&strftime(now, "%H:%M")?),
            Some('D' | 'x') => out.push_str(&strftime(now, "%m/%d/%y")?),
            Some('c') => out.push_str(&strftime(now, "%a %b %e %H:%M:%S %Y")?),
            // datetime.now() carries no zone.
            Some('z' | 'Z') => {}
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('%') => out.push('%'),
            other => {
                let name: String = other.into_iter().collect();
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now does not know the directive %{name}"),
                ));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_s: i64, format: &str) -> String {
        strftime(LocalTime { unix_s, utc_offset_s: 0 }, format).unwrap()
    }

    // Expected values: Python's datetime.utcfromtimestamp(s).strftime(format).
    #[test]
    fn formats_as_python() {
        assert_eq!(at(0, "%Y-%m-%d %H:%M:%S %a %j"), "1970-01-01 00:00:00 Thu 001");
        assert_eq!(
            at(1_709_210_096, "%d %b %Y, %A %-d %I %p %j %U %W"),
            "29 Feb 2024, Thursday 29 12 PM 060 08 09"
        );
        assert_eq!(at(951_868_800, "%B %e %F"), "March  1 2000-03-01");
        assert_eq!(at(1_735_603_199, "%F %T %j"), "2024-12-30 23:59:59 365");
        assert_eq!(at(-1, "%F %T"), "1969-12-31 23:59:59");
    }

    #[test]
    fn local_time() {
        let now = LocalTime { unix_s: 0, utc_offset_s: -3600 };
        assert_eq!(strftime(now, "%F %R").unwrap(), "1969-12-31 23:00");
    }

    #[test]
    fn unknown_directives_and_extreme_times() {
        assert!(strftime(LocalTime { unix_s: 0, utc_offset_s: 0 }, "%Q").is_err());
        assert!(strftime(LocalTime { unix_s: 0, utc_offset_s: 0 }, "%").is_err());
        at(i64::MAX, "%c %x %X %z");
        at(i64::MIN, "%c %x %X %z");
    }
}

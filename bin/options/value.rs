//! What the values of options may look like: durations, sizes, addresses, lists.
//!
//! Each parser takes the text as it stands on a command line, in the environment or in a file, and answers with a
//! sentence that says what was expected. All three places use the same parsers.

use proletariat_protocol::Guarantee;
use proletariat_protocol::limits::{CLOCK_MILLIS_MAX, NAME_BYTES_MAX};
use std::net::Ipv6Addr;
use std::time::Duration;

const NANOS_PER_MILLI: u128 = 1_000_000;
/// Digits after the point that still mean something in a duration: nanoseconds of a second. Also keeps the sums far
/// below the end of their type.
const FRACTION_DIGITS_MAX: usize = 9;

/// Nanoseconds of each unit of time.
const TIME_UNITS: &[(&str, u128)] = &[
    ("ms", NANOS_PER_MILLI),
    ("s", 1_000 * NANOS_PER_MILLI),
    ("m", 60_000 * NANOS_PER_MILLI),
    ("min", 60_000 * NANOS_PER_MILLI),
    ("h", 3_600_000 * NANOS_PER_MILLI),
    ("d", 86_400_000 * NANOS_PER_MILLI),
];

/// Bytes of each unit of size.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// `100ms`, `2s`, `1.5h`, `1m30s`; a bare number is milliseconds. At most 30 days, in whole milliseconds.
///
/// # Errors
/// Says what is wrong with the text; nothing is rounded or clamped.
pub fn duration(text: &str) -> Result<Duration, String> {
    let nanos = if is_digits(text) { scaled(text, NANOS_PER_MILLI) } else { sum_of_parts(text) };
    let Some(nanos) = nanos else {
        return Err("expected a duration like 100ms, 2s or 5m (a bare number is milliseconds)".into());
    };
    if nanos > u128::from(CLOCK_MILLIS_MAX) * NANOS_PER_MILLI {
        return Err("longer than 30 days, the longest there is (0 means none)".into());
    }
    if nanos % NANOS_PER_MILLI != 0 {
        return Err("finer than a millisecond".into());
    }
    let millis = u64::try_from(nanos / NANOS_PER_MILLI).expect("30 days of milliseconds fit");
    Ok(Duration::from_millis(millis))
}

/// The nanoseconds of `1h30m`; `None` if it is not a row of numbers with units, or far too long.
fn sum_of_parts(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut sum = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let (_, nanos) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(scaled(number, *nanos)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

/// `20MiB`, `1.5GB`, `64kB`; a bare number is bytes.
///
/// # Errors
/// Says what was expected.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text);
    let factor = match unit {
        "" if is_digits(number) => Some(1),
        _ => SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes),
    };
    let bytes = factor.and_then(|factor| scaled(number, u128::from(factor)));
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| "expected a size like 20MiB, 64kB or a number of bytes".into())
}

/// A factor for artificial times, 0 to 1000.
///
/// # Errors
/// Says what was expected.
pub fn time_scale(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (0.0..=1_000.0).contains(factor));
    factor.ok_or_else(|| "expected a factor from 0 to 1000, like 0.1".into())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// `number` (digits, perhaps with a point between them) times `unit`, in whole ones; a fraction that is not whole counts as 1
/// more, so that nobody takes it for a round value.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(unit)?.div_ceil(10_u128.pow(digits));
    u128::from(whole.parse::<u64>().ok()?).checked_mul(unit)?.checked_add(part)
}

/// Where a manager is, or listens; the port only if it was said here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// The port behind the colon.
    pub port: Option<u16>,
}

/// `host`, `host:port`, `[v6]:port`; a bare v6 address is a host.
///
/// # Errors
/// Says what was expected.
pub fn host_port(text: &str) -> Result<HostPort, String> {
    let expected = || "expected host, host:port or [v6]:port".to_owned();
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or_else(expected)?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} in brackets is no v6 address"))?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port_number(port)?),
            None if rest.is_empty() => None,
            None => return Err(expected()),
        };
        return Ok(HostPort { host: host.to_owned(), port });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(HostPort { host: text.to_owned(), port: None });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port_number(port)?)),
        None => (text, None),
    };
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || "/[]@".contains(c)) {
        return Err(expected());
    }
    Ok(HostPort { host: host.to_owned(), port })
}

fn port_number(text: &str) -> Result<u16, String> {
    is_digits(text)
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| format!("{text:?} is no port (0 to 65535)"))
}

/// Guaranteed slots by lower bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Guarantees(pub Vec<Guarantee>);

/// `1=30,2=20`: lower bound of a priority range = slots guaranteed to it.
///
/// # Errors
/// Says which part cannot be read. Whether the offer can be kept is for the offer itself to check.
pub fn guarantees(text: &str) -> Result<Guarantees, String> {
    let part = |part: &str| {
        let (bound, slots) = part.split_once('=')?;
        Some(Guarantee { bound: bound.trim().parse().ok()?, slots: slots.trim().parse().ok()? })
    };
    text.split(',')
        .map(|text| part(text).ok_or_else(|| format!("{text:?} is not like 1=30 (lower bound = slots)")))
        .collect::<Result<_, _>>()
        .map(Guarantees)
}

/// Kinds of jobs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KindNames(pub Vec<String>);

/// `mult,add`.
///
/// # Errors
/// Says which part is no kind.
pub fn kinds(text: &str) -> Result<KindNames, String> {
    text.split(',').map(|name| kind(name.trim())).collect::<Result<_, _>>().map(KindNames)
}

/// One kind: 1 to 128 bytes.
///
/// # Errors
/// Says that it is empty or too long.
pub fn kind(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(format!("a kind has 1 to {NAME_BYTES_MAX} bytes, this one {}", text.len()));
    }
    Ok(text.to_owned())
}

/// What people call a peer: at most 128 bytes.
///
/// # Errors
/// Says that it is too long.
pub fn name(text: &str) -> Result<String, String> {
    if text.len() > NAME_BYTES_MAX {
        return Err(format!("a name has at most {NAME_BYTES_MAX} bytes, this one {}", text.len()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good = [
            ("0", 0),
            ("700", 700),
            ("100ms", 100),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("0.001s", 1),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("2592000s", 2_592_000_000),
            ("2592000000", 2_592_000_000),
        ];
        for (text, millis) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let bad = [
            ("", "expected a duration"),
            ("frobnicate", "expected a duration"),
            ("-1s", "expected a duration"),
            ("s", "expected a duration"),
            ("1.5", "expected a duration"),
            ("1.s", "expected a duration"),
            ("1 s", "expected a duration"),
            ("1s5", "expected a duration"),
            ("1us", "expected a duration"),
            ("99999999999999999999999999", "expected a duration"),
            ("2592001s", "longer than 30 days"),
            ("30d1ms", "longer than 30 days"),
            ("18446744073709551615d", "longer than 30 days"),
            ("0.5ms", "finer than a millisecond"),
            ("0.0000001ms", "finer than a millisecond"),
        ];
        for (text, reason) in bad {
            let error = duration(text).expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("64kB", 64_000),
            ("20MiB", 20 << 20),
            ("1.5GiB", 3 << 29),
            ("4GiB", 4 << 30),
            ("2TB", 2_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "20 MiB", "20mib", "-1", "1.5", "20M", "18446744073709551616", "99999999TiB"]
        {
            let error = size(text).expect_err(text);
            assert!(error.starts_with("expected a size like 20MiB"), "{text}: {error}");
        }
    }

    #[test]
    fn hosts() {
        let good = [
            ("localhost", "localhost", None),
            ("10.0.0.5", "10.0.0.5", None),
            ("10.0.0.5:0", "10.0.0.5", Some(0)),
            ("broker.example:1917", "broker.example", Some(1917)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[fe80::1]:65535", "fe80::1", Some(65_535)),
        ];
        for (text, host, port) in good {
            assert_eq!(host_port(text), Ok(HostPort { host: host.into(), port }), "{text}");
        }
        let bad = [
            ("", "expected host, host:port or [v6]:port"),
            (":1917", "expected host, host:port or [v6]:port"),
            ("two words", "expected host, host:port or [v6]:port"),
            ("http://x", "\"//x\" is no port (0 to 65535)"),
            ("h:65536", "\"65536\" is no port (0 to 65535)"),
            ("h:+1", "\"+1\" is no port (0 to 65535)"),
            ("h:", "\"\" is no port (0 to 65535)"),
            ("[::1", "expected host, host:port or [v6]:port"),
            ("[::1]1917", "expected host, host:port or [v6]:port"),
            ("[localhost]:1", "\"localhost\" in brackets is no v6 address"),
        ];
        for (text, reason) in bad {
            assert_eq!(host_port(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn guarantees_by_bound() {
        let two = Guarantees(vec![Guarantee { bound: 1, slots: 30 }, Guarantee { bound: 2, slots: 20 }]);
        assert_eq!(guarantees("1=30,2=20"), Ok(two.clone()));
        assert_eq!(guarantees(" 1 = 30 , 2=20"), Ok(two));
        let bad = [
            ("", "\"\""),
            ("1=30,", "\"\""),
            ("1", "\"1\""),
            ("1=-3", "\"1=-3\""),
            ("4294967296=1", "\"4294967296=1\""),
        ];
        for (text, part) in bad {
            let reason = format!("{part} is not like 1=30 (lower bound = slots)");
            assert_eq!(guarantees(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn kinds_of_jobs() {
        assert_eq!(kinds("mult, add"), Ok(KindNames(vec!["mult".into(), "add".into()])));
        assert_eq!(kinds("a,,b"), Err("a kind has 1 to 128 bytes, this one 0".into()));
        assert_eq!(kinds(&"k".repeat(129)), Err("a kind has 1 to 128 bytes, this one 129".into()));
        assert!(kinds(&"k".repeat(128)).is_ok());
    }

    #[test]
    fn names_of_peers() {
        assert_eq!(name(""), Ok(String::new()));
        assert!(name(&"n".repeat(128)).is_ok());
        assert_eq!(name(&"n".repeat(129)), Err("a name has at most 128 bytes, this one 129".into()));
    }

    #[test]
    fn factors() {
        assert_eq!(time_scale("0.1"), Ok(0.1));
        for text in ["", "-1", "NaN", "inf", "1001", "x"] {
            assert!(time_scale(text).is_err(), "{text}");
        }
    }
}

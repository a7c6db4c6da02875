//! Options from a TOML file. Its keys are the names of the options in snake case, at the top level; a key that is no
//! option is refused, because a misspelt one would otherwise be lost in silence.

use super::{Known, check};
use crate::exit::Failure;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The option that names the file. It cannot stand in one.
pub(super) const CONFIG: &str = "config";

pub(super) fn read(path: &Path, known: &Known) -> Result<BTreeMap<String, String>, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    parse(&text, known).map_err(|(line, reason)| Failure::usage(format!("{name}:{line}: {reason}")))
}

/// The text value of each key of a file with this text, or line and reason of the first fault.
pub(super) fn parse(text: &str, known: &Known) -> Result<BTreeMap<String, String>, (usize, String)> {
    if text.trim_start().starts_with('{') { json_values(text, known) } else { values(text, known) }
}

/// The ancestor's names of keys, and ours.
const ANCESTORS_KEYS: [(&str, &str); 1] = [("numberOfWorkers", "workers")];

/// The values of a file that is one JSON object, as the ancestor's `config.json`: strings, numbers and booleans.
fn json_values(text: &str, known: &Known) -> Result<BTreeMap<String, String>, (usize, String)> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| (error.line(), error.to_string()))?;
    let mut values = BTreeMap::new();
    for (key, value) in object {
        let fault = |reason: String| (line_of(text, text.find(&format!("\"{key}\"")).unwrap_or(0)), reason);
        let ours = ANCESTORS_KEYS.iter().find(|(ancestors, _)| *ancestors == key).map(|(_, ours)| *ours);
        let name = ours.unwrap_or(&key);
        let arg = known.get(name).filter(|_| name != CONFIG);
        let arg = arg.ok_or_else(|| fault(format!("unknown key {key:?}")))?;
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(on) => on.to_string(),
            _ => return Err(fault(format!("{key}: expected a string, a number, true or false"))),
        };
        check(arg, OsStr::new(&text)).map_err(|reason| fault(format!("{key}: {reason}")))?;
        values.insert(name.to_owned(), text);
    }
    Ok(values)
}

/// The same of TOML.
fn values(text: &str, known: &Known) -> Result<BTreeMap<String, String>, (usize, String)> {
    let fault = |span: Range<usize>, reason: String| (line_of(text, span.start), reason);
    let table = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        fault(error.span().unwrap_or(0..0), message)
    })?;
    let mut keys: Vec<_> = table.into_inner().into_iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let mut values = BTreeMap::new();
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        let known = known.get(name).filter(|_| name != CONFIG);
        let arg = known.ok_or_else(|| fault(key.span(), unknown_key(name, value.get_ref())))?;
        let text = as_text(value.get_ref()).ok_or_else(|| {
            fault(value.span(), format!("{name}: no option takes a {}", type_name(value.get_ref())))
        })?;
        check(arg, OsStr::new(&text)).map_err(|reason| fault(value.span(), format!("{name}: {reason}")))?;
        values.insert(name.to_owned(), text);
    }
    Ok(values)
}

fn type_name(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(_) | DeValue::Table(_) => format!("nested {}", value.type_str()),
        _ => value.type_str().to_owned(),
    }
}

fn unknown_key(name: &str, value: &DeValue<'_>) -> String {
    let hint = match value {
        DeValue::Table(_) => " (all keys stand at the top level, without sections)",
        _ if name.contains('-') => " (keys are written with _)",
        _ => "",
    };
    format!("unknown key {name:?}{hint}")
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The value as it would stand on a command line: arrays as `a,b`, tables as `1=30,2=20`.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            Some(i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Datetime(_) => None,
        DeValue::Array(items) => items
            .iter()
            .map(|item| scalar(item.get_ref()))
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        DeValue::Table(table) => {
            let pair = |(key, value): (&_, &toml::Spanned<DeValue<'_>>)| {
                let key: &toml::Spanned<std::borrow::Cow<'_, str>> = key;
                Some(format!("{}={}", key.get_ref(), scalar(value.get_ref())?))
            };
            table.iter().map(pair).collect::<Option<Vec<_>>>().map(|pairs| pairs.join(","))
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Array(_) | DeValue::Table(_) => None,
        value => as_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, value_parser};

    fn known() -> Known {
        let options = [
            Arg::new("port").value_parser(value_parser!(u16)),
            Arg::new("kinds").value_parser(crate::options::value::kinds),
            Arg::new("priority_slots").value_parser(crate::options::value::guarantees),
            Arg::new("timeout").value_parser(crate::options::value::duration),
            Arg::new("classic").value_parser(clap::builder::BoolishValueParser::new()),
            Arg::new("config"),
        ];
        options.into_iter().map(|arg| (arg.get_id().to_string(), arg)).collect()
    }

    #[test]
    fn values_as_on_a_command_line() {
        let text = "# a comment\nport = 0x50\nkinds = ['mult', \"add\"]\npriority_slots = { 1 = 30, 2 = 20 }\ntimeout = 1_500\nclassic = true\n";
        let values = values(text, &known()).unwrap();
        let expected = [
            ("port", "80"),
            ("kinds", "mult,add"),
            ("priority_slots", "1=30,2=20"),
            ("timeout", "1500"),
            ("classic", "true"),
        ];
        assert_eq!(values, expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
    }

    #[test]
    fn faults_name_the_line() {
        let bad = [
            ("\nprot = 1\n", 2, "unknown key \"prot\""),
            ("priority-slots = '1=2'", 1, "unknown key \"priority-slots\" (keys are written with _)"),
            (
                "\n\n[manager]\nport = 1",
                3,
                "unknown key \"manager\" (all keys stand at the top level, without sections)",
            ),
            ("config = 'x.toml'", 1, "unknown key \"config\""),
            ("port = 1\n\ntimeout = '2 s'", 3, "timeout: invalid value '2 s': expected a duration like"),
            ("classic = true\nport =\n", 2, ""),
            ("# x\nport = 70000", 2, "port: invalid value '70000': 70000 is not in 0..=65535"),
            ("port = -1", 1, "port: invalid value '-1': -1 is not in 0..=65535"),
            ("kinds = [['a']]", 1, "kinds: no option takes a nested array"),
            ("classic = 2001-01-01", 1, "classic: no option takes a datetime"),
            ("port = 1\nport = 2", 2, "duplicate key"),
            ("port = 1\nkinds = 'a", 2, ""),
            ("classic = 'maybe'", 1, "classic: invalid value 'maybe'"),
        ];
        for (text, line, reason) in bad {
            let (found, error) = values(text, &known()).expect_err(text);
            assert_eq!(found, line, "{text}: {error}");
            assert!(error.starts_with(reason), "{text}: {error}");
            assert!(!error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn one_json_object_is_a_file_too() {
        let known = |name: &'static str| {
            let arg = Arg::new(name).value_parser(value_parser!(u16));
            (name.to_owned(), arg)
        };
        let known: Known = [known("workers"), known("samples")].into();
        let values = json_values("{\n \"numberOfWorkers\": 4,\n\"samples\": \"7\"}", &known).unwrap();
        let expected = [("samples", "7"), ("workers", "4")];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for (text, line, reason) in [
            ("{\n\"number\": 4}", 2, "unknown key"),
            ("{\"samples\": []}", 1, "samples: expected"),
            ("{\n\n\"samples\": -1}", 3, "samples: invalid value"),
            ("{\n\"samples\"", 2, ""),
        ] {
            let (found, error) = json_values(text, &known).expect_err(text);
            assert_eq!(found, line, "{text}: {error}");
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("absent.toml"), &known()).expect_err("not there");
        assert!(error.to_string().starts_with("absent.toml: "), "{error}");
    }
}

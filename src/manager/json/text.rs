//! JSON text that stays text: what a peer sent is cut, never read and written again, so that numbers, escapes and the order of
//! keys stay as they were, and nothing grows beyond what came.
//!
//! A text is checked as a whole once, without recursion; from then on it is only cut, and cutting may take its form for granted.

use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The text of one JSON value, without white space around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Json<'a>(&'a str);

/// The parts of a list or an object, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    text: &'a str,
    at: usize,
}

/// White space as JSON knows it.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Whether these bytes are one JSON value.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    Json::read(bytes).is_some()
}

impl<'a> Json<'a> {
    /// These bytes, if they are one JSON value.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(Self(text.trim_matches(SPACE)))
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }

    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// The text of a string. One with half of a surrogate pair has none.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        if !self.is_string() {
            return None;
        }
        let inner = &self.0[1..self.0.len() - 1];
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(inner.into())
        }
    }

    /// The value of a number. What is too large for one is infinite.
    pub(super) fn number(self) -> Option<f64> {
        if !self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return None;
        }
        self.0.parse().ok()
    }

    /// The value of a number, or of a text that is one.
    pub(super) fn numeric(self) -> Option<f64> {
        if !self.is_string() {
            return self.number();
        }
        let text = self.string()?;
        Json::read(text.as_bytes()).and_then(|json| json.number())
    }

    /// The elements of a list; `None` for anything else.
    pub(super) fn elements(self) -> Option<Elements<'a>> {
        self.0.starts_with('[').then_some(Elements(Parts { text: self.0, at: 1 }))
    }

    /// Keys and values of an object, none for anything else. A key may come twice.
    pub(super) fn members(self) -> Members<'a> {
        let at = if self.is_object() { 1 } else { self.0.len() };
        Members(Parts { text: self.0, at })
    }
}

/// The elements of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a>(Parts<'a>);

/// Keys and values of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'a>(Parts<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        self.0.next()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Json<'a>, Json<'a>);

    fn next(&mut self) -> Option<(Json<'a>, Json<'a>)> {
        let key = self.0.next()?;
        Some((key, self.0.next()?))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
            self.at += 1;
        }
        if matches!(bytes.get(self.at), None | Some(b']' | b'}')) {
            return None;
        }
        let begin = self.at;
        self.at = end_of_value(bytes, begin);
        Some(Json(&self.text[begin..self.at]))
    }
}

/// Where the value that begins at `at` ends.
fn end_of_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 0 => return at,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Where the string that begins at `at` ends, its quotes included.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json(text: &str) -> Json<'_> {
        Json::read(text.as_bytes()).unwrap()
    }

    fn texts<'a>(parts: impl Iterator<Item = Json<'a>>) -> Vec<&'a str> {
        parts.map(Json::text).collect()
    }

    #[test]
    fn values_are_cut_as_they_stand() {
        let list = json(" [1e400 ,\"a\\\"]\" , [ [] , {\"x\":[2]} ],null,-0.0]\n");
        assert_eq!(
            texts(list.elements().unwrap()),
            ["1e400", r#""a\"]""#, r#"[ [] , {"x":[2]} ]"#, "null", "-0.0"]
        );
        let object = json(r#"{"a" : {"b":"}"}, "\u0061":[1,2] ,"c":true}"#);
        let members: Vec<_> = object.members().map(|(key, value)| (key.text(), value.text())).collect();
        let wanted = [(r#""a""#, r#"{"b":"}"}"#), (r#""\u0061""#, "[1,2]"), (r#""c""#, "true")];
        assert_eq!(members, wanted);
        assert_eq!(json("[ ]").elements().unwrap().count(), 0);
        assert_eq!(json("{ }").members().count(), 0);
        assert!(json("{}").elements().is_none());
        assert_eq!(json("[1,2]").members().count(), 0);
    }

    #[test]
    fn what_is_no_json_is_told() {
        for text in ["", "{", "{]}", "hello", "1 2", "[1,]", "\"\n\"", "01", "\u{feff}1"] {
            assert!(Json::read(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(!is_json(b"\"\xff\"") && is_json(b" 5 "));
    }

    #[test]
    fn numbers_and_texts() {
        assert_eq!(json("7").numeric(), Some(7.0));
        assert_eq!(json("\" 7 \"").numeric(), Some(7.0));
        assert_eq!(json("\"\"").numeric(), None);
        assert_eq!(json("\"x\"").numeric(), None);
        assert_eq!(json("\"Infinity\"").numeric(), None);
        assert_eq!(json("1e999").number(), Some(f64::INFINITY));
        assert_eq!(json("\"7\"").number(), None);
        assert_eq!(json("true").numeric(), None);
        assert_eq!(json(r#""a\u0062""#).string().unwrap(), "ab");
        assert_eq!(json(r#""\ud83d""#).string(), None, "half of a pair is no text");
        assert_eq!(json("5").string(), None);
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(json(&deep).elements().unwrap().count(), 1);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn cutting_agrees_with_reading(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let json = json(&text);
            if let Some(list) = value.as_array() {
                let parts: Vec<Value> =
                    json.elements().unwrap().map(|part| serde_json::from_str(part.text()).unwrap()).collect();
                prop_assert_eq!(&parts, list);
            }
            if let Some(object) = value.as_object() {
                let mut parts = serde_json::Map::new();
                for (key, value) in json.members() {
                    parts.insert(key.string().unwrap().into_owned(), serde_json::from_str(value.text()).unwrap());
                }
                prop_assert_eq!(&parts, object);
            }
        }

        #[test]
        fn any_text_is_cut_without_a_panic(text in "[\\[\\]{}\",:\\\\ 0-9a-z]{0,40}") {
            let parts = Parts { text: &text, at: 0 };
            prop_assert!(parts.count() <= text.len());
        }
    }
}

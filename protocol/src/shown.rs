//! Texts of peers, as people may see them.

/// A text that a log or a terminal can show: what moves the cursor, ends a line or turns the direction of writing is replaced.
///
/// ```
/// assert_eq!(proletariat_protocol::shown::safe("wörker\u{1b}[2J\n1"), "wörker_[2J_1");
/// ```
#[must_use]
pub fn safe(text: &str) -> String {
    let safe = |c: char| match c {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    text.chars().map(safe).collect()
}

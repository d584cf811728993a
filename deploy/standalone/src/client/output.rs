//! What of a profile may be printed.

use serde_json::Value;

/// A stored value as a person reads it. As JSON: whatever it holds cannot act on the terminal, nor pass for a line of ours.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shown;

    #[test]
    fn no_value_acts_on_the_terminal() {
        for text in ["a\u{1b}[2Jb", "a\nb", "a\u{9b}2Jb", "a\u{7f}b"] {
            let shown = shown(&json!(text));
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        assert_eq!(shown(&json!(["é", 1, true])), "[\"é\",1,true]");
    }
}

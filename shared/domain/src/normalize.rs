//! The normalisations of identifier values, by name (`memory-api.md` 8.2).
//!
//! A value is normalised before it is stored or compared, so what is decided here decides who is the same person. The rules
//! may therefore never change for a type that has values: a stored value would not be found again.

use crate::identifier::IdentifierValue;
use crate::settings::Normalization;

/// Characters (Unicode scalar values) of an identifier value at most, before and after normalising (`memory-api.md` 4).
pub const VALUE_CHARS_MAX: usize = 255;

/// Digits of an international phone number: the least that is taken, and E.164's most.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Digits of a number of the North American plan with its country code.
const PHONE_DIGITS_US: usize = 11;

/// Why a value gives no identifier although it is not empty. A bad request in either case; no message holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NormalizeError {
    /// The value has more than [`VALUE_CHARS_MAX`] characters, before or after.
    #[error("longer than 255 characters")]
    TooLong,
    /// The value has the character U+0000. No address or number has it, and tools that read a value out of a database take it
    /// for the end of the text: two values would look like one.
    #[error("has the character U+0000")]
    HasNul,
    /// The value is nothing that its rule can read.
    #[error("cannot be normalised")]
    NotNormalizable,
}

impl Normalization {
    /// Normalises a value. `Ok(None)`: nothing is left once blanks are removed, so there is no identifier; this test comes
    /// first, whatever the rule and the length. Normalising a normalised value gives it again.
    ///
    /// # Errors
    /// [`NormalizeError`].
    pub fn apply(self, raw: &str) -> Result<Option<IdentifierValue>, NormalizeError> {
        if raw.chars().all(char::is_whitespace) {
            return Ok(None);
        }
        let bounded = |value: &str| {
            if value.chars().nth(VALUE_CHARS_MAX).is_some() {
                Err(NormalizeError::TooLong)
            } else {
                Ok(())
            }
        };
        bounded(raw)?;
        if raw.contains('\0') {
            return Err(NormalizeError::HasNul);
        }
        let value = match self {
            Self::Email => IdentifierValue::new(&email(raw)?),
            Self::Phone => IdentifierValue::new(&phone(raw)?),
            Self::Trim => IdentifierValue::new(raw.trim()),
            Self::None => IdentifierValue::new(raw),
        };
        // Lower-casing can lengthen a text.
        bounded(value.expose())?;
        Ok(Some(value))
    }
}

fn email(raw: &str) -> Result<String, NormalizeError> {
    // Blanks go first: the lower case of a Greek sigma depends on its neighbours, and `ΑΣ Α@x` must be one value with
    // `ΑΣΑ@x`.
    let joined: String = raw.chars().filter(|c| !c.is_whitespace()).collect();
    match joined.split_once('@') {
        Some((local, domain))
            if !local.is_empty() && !domain.is_empty() && !domain.contains('@') =>
        {
            Ok(joined.to_lowercase())
        }
        _ => Err(NormalizeError::NotNormalizable),
    }
}

fn phone(raw: &str) -> Result<String, NormalizeError> {
    let dialled: String = raw
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '(' | ')' | '/'))
        .collect();
    let (international, digits) = match dialled.strip_prefix('+') {
        Some(digits) => (true, digits),
        None => (false, dialled.as_str()),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NormalizeError::NotNormalizable);
    }
    let length = digits.len();
    // No check of numbering plans: test numbers such as 555 must pass.
    match digits.bytes().next() {
        _ if !international && length == PHONE_DIGITS_US - 1 => Ok(format!("+1{digits}")),
        Some(b'1') if length == PHONE_DIGITS_US => Ok(format!("+{digits}")),
        Some(b'2'..=b'9')
            if PHONE_DIGITS.contains(&length) && (international || length >= PHONE_DIGITS_US) =>
        {
            Ok(format!("+{digits}"))
        }
        _ => Err(NormalizeError::NotNormalizable),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const RULES: [Normalization; 4] = [
        Normalization::Email,
        Normalization::Phone,
        Normalization::Trim,
        Normalization::None,
    ];

    fn text(rule: Normalization, raw: &str) -> Result<Option<String>, NormalizeError> {
        rule.apply(raw)
            .map(|value| value.map(|value| value.expose().to_owned()))
    }

    /// A sentence of the contract, or one of its examples, and what it makes of some inputs.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sentence {
        says: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        rule: Normalization,
        input: String,
        /// `null`: no identifier.
        expected: Option<String>,
        #[serde(default)]
        refused: bool,
    }

    #[test]
    fn the_vectors_hold() {
        let sentences: Vec<Sentence> =
            serde_json::from_str(include_str!("../tests/data/normalization.json")).unwrap();
        for Sentence { says, cases } in sentences {
            assert!(!cases.is_empty(), "{says}");
            for case in cases {
                let expected = if case.refused {
                    Err(NormalizeError::NotNormalizable)
                } else {
                    Ok(case.expected)
                };
                let actual = text(case.rule, &case.input);
                assert_eq!(actual, expected, "{says}: {:?}", case.input);
            }
        }
    }

    #[test]
    fn spellings_of_one_value_are_one_value_and_others_are_not() {
        let same = |rule, spellings: &[&str]| {
            let first = text(rule, spellings[0]);
            assert!(matches!(first, Ok(Some(_))));
            spellings.iter().all(|s| text(rule, s) == first)
        };
        // E11
        assert!(same(
            Normalization::Email,
            &[" Ada@EXAMPLE.com", "ada@example.com", "ada @example.com"]
        ));
        assert!(!same(
            Normalization::Email,
            &["ada@example.com", "ada+x@example.com"]
        ));
        assert!(!same(
            Normalization::Email,
            &["ada@example.com", "a.da@example.com"]
        ));
        // E12
        assert!(same(
            Normalization::Phone,
            &[
                "1-317-555-6789",
                "(317) 555-6789",
                "3175556789",
                "+1 317 555 6789"
            ]
        ));
        assert!(!same(Normalization::Phone, &["+6591305079", "6591305079"]));
        // E13
        assert!(!same(
            Normalization::Trim,
            &["whatsapp:+6591305079", "+6591305079"]
        ));
        assert!(!same(Normalization::Trim, &["Bob", "bob"]));
    }

    #[test]
    fn a_value_of_255_characters_passes_and_one_more_does_not() {
        for rule in [Normalization::Trim, Normalization::None] {
            assert!(text(rule, &"é".repeat(255)).unwrap().is_some());
            assert_eq!(text(rule, &"é".repeat(256)), Err(NormalizeError::TooLong));
        }
        let email = format!("{}@x", "a".repeat(253));
        assert_eq!(text(Normalization::Email, &email), Ok(Some(email.clone())));
        assert_eq!(
            text(Normalization::Email, &format!("a{email}")),
            Err(NormalizeError::TooLong)
        );
    }

    #[test]
    fn length_counts_before_normalising_too() {
        let padded = format!("{}bob", " ".repeat(253));
        assert_eq!(
            text(Normalization::Trim, &padded),
            Err(NormalizeError::TooLong)
        );
        let phone = format!("317555{}6789", " ".repeat(246));
        assert_eq!(
            text(Normalization::Phone, &phone),
            Err(NormalizeError::TooLong)
        );
    }

    #[test]
    fn length_counts_after_normalising_too() {
        // The lower case of `İ` is two characters.
        let email = format!("{}@x", "İ".repeat(253));
        assert_eq!(email.chars().count(), 255);
        assert_eq!(
            text(Normalization::Email, &email),
            Err(NormalizeError::TooLong)
        );
    }

    #[test]
    fn the_test_for_empty_comes_before_the_one_for_length() {
        for rule in RULES {
            assert_eq!(text(rule, &" \u{3000}\n".repeat(200)), Ok(None));
        }
    }

    #[test]
    fn no_rule_takes_a_nul() {
        for raw in ["\0", "a\0b@x", "+1317555\u{0}6789", "a\0"] {
            for rule in RULES {
                assert_eq!(text(rule, raw), Err(NormalizeError::HasNul), "{raw:?}");
            }
        }
    }

    #[test]
    fn no_error_shows_a_value() {
        let error = Normalization::Phone.apply("12345").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("12345"));
    }

    fn any_rule() -> impl Strategy<Value = Normalization> {
        proptest::sample::select(&RULES[..])
    }

    /// Texts near the rules' borders, which random ones would hardly meet.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[+]?[0-9 ().+/-]{0,20}",
            "[a-zA-Z .\u{a0}ΑΣİ]{0,6}@[a-zA-ZΣ .@]{0,6}",
            "[ \u{2003}\t]{0,3}[a-z ]{0,5}[ \u{2003}\t]{0,3}",
            "\\PC{250,260}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_normalised_value_is_a_fixed_point(rule in any_rule(), raw in any_text()) {
            if let Ok(Some(value)) = text(rule, &raw) {
                prop_assert_eq!(text(rule, &value), Ok(Some(value)));
            }
        }

        #[test]
        fn a_phone_value_is_a_plus_and_digits(raw in any_text()) {
            if let Ok(Some(value)) = text(Normalization::Phone, &raw) {
                let form = regex::Regex::new("^\\+[1-9][0-9]{6,14}$").unwrap();
                prop_assert!(form.is_match(&value));
            }
        }

        #[test]
        fn an_email_value_has_two_sides_and_no_blanks(raw in any_text()) {
            if let Ok(Some(value)) = text(Normalization::Email, &raw) {
                let sides: Vec<_> = value.split('@').collect();
                prop_assert!(sides.len() == 2 && sides.iter().all(|side| !side.is_empty()));
                prop_assert!(!value.chars().any(char::is_whitespace));
            }
        }

        #[test]
        fn blanks_and_case_do_not_tell_emails_apart(raw in "[a-zA-ZéÉ.+]{1,6}@[a-zA-Z.]{1,6}", at in 0usize..14, blank in "\\s") {
            let at = raw.char_indices().map(|(i, _)| i).chain([raw.len()]).nth(at).unwrap_or(0);
            let spaced = format!("{}{blank}{}", &raw[..at], &raw[at..]).to_uppercase();
            prop_assert_eq!(text(Normalization::Email, &spaced), text(Normalization::Email, &raw));
        }

        #[test]
        fn blanks_alone_are_no_identifier(rule in any_rule(), raw in "\\s{0,300}") {
            prop_assert_eq!(text(rule, &raw), Ok(None));
        }
    }

    #[test]
    fn lower_case_is_a_fixed_point_for_every_character() {
        for c in '\u{1}'..=char::MAX {
            if c != '@' && !c.is_whitespace() {
                let once = text(Normalization::Email, &format!("{c}@x"))
                    .unwrap()
                    .unwrap();
                assert_eq!(text(Normalization::Email, &once), Ok(Some(once)));
            }
        }
    }
}

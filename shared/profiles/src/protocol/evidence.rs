//! Why two profiles were joined: what a link carries beside its verdict (`identity-protocol.md` 2).
//!
//! Who asked, under which settings, and by which identifiers, named by their claims as they were read. No identifier values:
//! they are in the identifier rows of these claims, and go with them.

use bytes::Bytes;
use kith_domain::id::{ClaimId, RequestId};
use kith_domain::identifier::IdType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::resolve::Question;

/// The form that is written, and the one that can be read.
const VERSION: u32 = 1;

/// What a link's evidence says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Evidence {
    version: u32,
    /// The request that made the link.
    pub(crate) request: RequestId,
    /// The version of the identity resolution settings that it went by.
    #[serde(rename = "settings")]
    pub(crate) settings_version: u32,
    /// The identifiers that it carried, in document order. None where it only completed what another had begun.
    pub(crate) identifiers: Vec<Carried>,
}

/// An identifier that a request carried.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Carried {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) id_type: IdType,
    /// Its claim as the request read it; `None` if nobody ever had it.
    pub(crate) claim: Option<ClaimId>,
}

impl Evidence {
    /// Reads evidence. `None` if it has another form: the link stands, whatever is written beside it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let evidence: Self = serde_json::from_slice(bytes).ok()?;
        (evidence.version == VERSION).then_some(evidence)
    }
}

/// The evidence of a request that joins profiles by these identifiers.
pub(super) fn evidence<'a>(
    question: &Question,
    claims: impl Iterator<Item = (&'a IdType, Option<ClaimId>)>,
) -> Bytes {
    let identifiers: Vec<_> = claims
        .map(|(id_type, claim)| written(id_type, claim))
        .collect();
    let settings = question.store.settings_version;
    whole(question.request, settings, &identifiers)
        .to_string()
        .into()
}

fn written(id_type: &IdType, claim: Option<ClaimId>) -> Value {
    json!({ "type": id_type, "claim": claim })
}

fn whole(request: RequestId, settings_version: u32, identifiers: &[Value]) -> Value {
    json!({
        "version": VERSION,
        "request": request,
        "settings": settings_version,
        "identifiers": identifiers,
    })
}

/// The evidence of a request that settles what somebody else began.
pub(crate) fn evidence_of(question: &Question) -> Bytes {
    evidence(question, std::iter::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{"identifiers":[{"claim":"00000000-0000-0000-0000-000000000001","type":"email"},
        {"claim":null,"type":"phone"}],"request":"RQ00000000000000000000000000000002","settings":3,"version":1}"#;

    #[test]
    fn what_is_stored_today_is_read() {
        let evidence = Evidence::decode(WRITTEN.as_bytes()).unwrap();
        assert_eq!(
            evidence.request.to_string(),
            "RQ00000000000000000000000000000002"
        );
        assert_eq!(evidence.settings_version, 3);
        let [email, phone] = evidence.identifiers.as_slice() else {
            panic!("{evidence:?}")
        };
        assert_eq!(
            (email.id_type.as_str(), email.claim.is_some()),
            ("email", true)
        );
        assert_eq!((phone.id_type.as_str(), phone.claim), ("phone", None));
    }

    #[test]
    fn the_golden_file_is_read_and_written_the_same() {
        let golden = include_str!("../../tests/golden/v1/evidence.json");
        let evidence = Evidence::decode(golden.as_bytes()).unwrap();
        assert_eq!(
            Evidence::decode(WRITTEN.as_bytes()).as_ref(),
            Some(&evidence)
        );
        let carried = evidence.identifiers.iter();
        let identifiers: Vec<_> = carried
            .map(|one| written(&one.id_type, one.claim))
            .collect();
        let again = whole(evidence.request, evidence.settings_version, &identifiers);
        assert_eq!(again.to_string(), golden);
        // What a later release adds beside it.
        let later = golden.replacen('{', r#"{"later":[1],"#, 1);
        assert_eq!(Evidence::decode(later.as_bytes()), Some(evidence));
    }

    #[test]
    fn another_form_is_no_evidence_and_no_error() {
        let newer = WRITTEN.replace(r#""version":1"#, r#""version":2"#);
        for text in [newer.as_str(), "", "{}", r#"{"version":1}"#, "why"] {
            assert_eq!(Evidence::decode(text.as_bytes()), None, "{text}");
        }
    }
}

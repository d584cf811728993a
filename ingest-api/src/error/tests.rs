use actix_web::body::MessageBody as _;
use serde_json::Value;

use super::*;

fn answered(error: &ApiError) -> (HttpResponse<()>, Value) {
    let (response, body) = error.error_response().into_parts();
    let body = body.try_into_bytes().unwrap();
    (response, serde_json::from_slice(&body).unwrap())
}

#[test]
fn the_body_has_the_members_of_the_contract_and_no_others() {
    let (response, body) = answered(&ApiError::NoProfile);
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.headers().get("content-type").unwrap(),
        "application/json"
    );
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "message", "more_info", "status"]);
    assert_eq!(body["code"], 20404);
    assert_eq!(body["status"], 404);
}

#[test]
fn faults_of_fields_are_told_apart_and_the_first_in_the_message() {
    let error = ApiError::Invalid(Invalid::field("pageSize", "must be at least 1"));
    let (_, body) = answered(&error);
    assert_eq!(
        body["message"],
        "The request is not valid: pageSize must be at least 1"
    );
    let errors = body["details"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["field"], "pageSize");
    assert_eq!(errors[0]["reason"], "must be at least 1");
}

#[test]
fn a_message_is_cut_to_what_the_contract_allows() {
    let error = ApiError::Invalid(Invalid::field("ä".repeat(2_000), "is long"));
    let (_, body) = answered(&error);
    assert_eq!(body["message"].as_str().unwrap().chars().count(), 1024);
}

#[test]
fn retry_after_is_whole_seconds_and_never_zero() {
    for (after, text) in [(0, "1"), (200, "1"), (1_000, "1"), (1_001, "2")] {
        let error = ApiError::Refused {
            reason: "test",
            retry_after: Duration::from_millis(after),
        };
        let (response, body) = answered(&error);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), text);
        assert_eq!(body["code"], 20503);
    }
}

#[test]
fn outages_are_503_and_corrupt_data_is_500_without_a_word_of_what_happened() {
    let secret = std::io::Error::other("ada@example.com");
    let outages = [
        Trouble::Port(PortError::unavailable("read claim", secret)),
        Trouble::Publish(PublishError::Full),
        Trouble::Publish(PublishError::Unavailable(None)),
        Trouble::Clock(kith_profiles::error::ClockUnsound),
        Trouble::Deadline { during: "waiting" },
    ];
    for trouble in outages {
        let (response, body) = answered(&trouble.into());
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        assert!(!body.to_string().contains("ada"));
    }
    let corrupt = Trouble::Port(PortError::Corrupt {
        operation: "read claim",
        detail: "row 7".to_owned(),
    });
    let (response, body) = answered(&corrupt.into());
    assert_eq!(
        (response.status().as_u16(), &body["code"]),
        (500, &Value::from(20500))
    );
    assert!(!response.headers().contains_key("retry-after"));
    assert!(!body.to_string().contains("row 7"));
}

/// Whether the page behind `more_info` has an anchor for the code, and a row for it with this status.
pub(crate) fn is_explained(code: u32, status: u16) -> bool {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let page = std::fs::read_to_string(page).unwrap();
    let anchor = format!("<a id=\"{code}\"></a>");
    let row = |line: &str| {
        line.replace(&anchor, "")
            .starts_with(&format!("| {code} | {status} | "))
    };
    page.matches(&anchor).count() == 1 && page.lines().any(row)
}

/// One error of each variant, and of each form that a variant is shown in.
fn all() -> Vec<ApiError> {
    let outage = || PortError::unavailable("read claim", std::io::Error::other("gone"));
    let corrupt = || PortError::Corrupt {
        operation: "read claim",
        detail: String::new(),
    };
    let mut all = vec![
        ApiError::Unauthenticated,
        ApiError::Forbidden,
        ApiError::NoRoute,
        ApiError::MethodNotAllowed("GET".into()),
        ApiError::MalformedStoreId,
        ApiError::NoStore,
        ApiError::StoreNotActive,
        ApiError::StoreFailed,
        ApiError::MalformedProfileId,
        ApiError::NoProfile,
        ApiError::NoIdentifier,
        ApiError::IdentifierTaken,
        ApiError::Invalid(Invalid::whole("wrong")),
        ApiError::InvalidDefinition(Invalid::whole("wrong")),
        ApiError::MalformedOperationId,
        ApiError::NoOperation,
        ApiError::BodyTooLarge { bytes_max: 1 },
        ApiError::NotJson,
        ApiError::BodyTooSlow,
        ApiError::BodyBroken,
        ApiError::Refused {
            reason: "test",
            retry_after: RETRY_SOON,
        },
        ApiError::RateLimited {
            retry_after: RETRY_SOON,
        },
        ApiError::Late,
        Trouble::Port(outage()).into(),
        Trouble::Port(corrupt()).into(),
        Trouble::Publish(PublishError::TooLarge).into(),
        ApiError::Corrupt {
            store: StoreId::from_uuid(uuid::Uuid::nil()),
            detail: String::new(),
        },
        ApiError::Internal,
    ];
    let refusals = [
        Refusal::NoStore,
        Refusal::NoGroup,
        Refusal::Stale,
        Refusal::StoresMax,
        Refusal::StoreNameTaken,
        Refusal::GroupsMax,
        Refusal::GroupNameTaken,
        Refusal::GroupFull,
        Refusal::Protected,
        Refusal::Invalid(Vec::new()),
    ];
    all.extend(refusals.into_iter().flat_map(|refusal| {
        [false, true].map(|removing| ApiError::RefusedDefinition {
            refusal: refusal.clone(),
            removing,
        })
    }));
    // A new variant does not compile here until it is above, too.
    for error in &all {
        match error {
            ApiError::Unauthenticated
            | ApiError::Forbidden
            | ApiError::NoRoute
            | ApiError::MethodNotAllowed(_)
            | ApiError::MalformedStoreId
            | ApiError::NoStore
            | ApiError::StoreNotActive
            | ApiError::StoreFailed
            | ApiError::MalformedProfileId
            | ApiError::NoProfile
            | ApiError::NoIdentifier
            | ApiError::IdentifierTaken
            | ApiError::Invalid(_)
            | ApiError::InvalidDefinition(_)
            | ApiError::RefusedDefinition { .. }
            | ApiError::MalformedOperationId
            | ApiError::NoOperation
            | ApiError::BodyTooLarge { .. }
            | ApiError::NotJson
            | ApiError::BodyTooSlow
            | ApiError::BodyBroken
            | ApiError::RateLimited { .. }
            | ApiError::Refused { .. }
            | ApiError::Late
            | ApiError::Trouble(_)
            | ApiError::Corrupt { .. }
            | ApiError::Internal => {}
        }
    }
    all
}

#[test]
fn every_code_is_explained_where_more_info_leads() {
    for error in all() {
        let (response, body) = answered(&error);
        let code = u32::try_from(body["code"].as_u64().unwrap()).unwrap();
        let status = response.status().as_u16();
        assert!(is_explained(code, status), "{code} with {status}: {error}");
        let more_info = body["more_info"].as_str().unwrap();
        assert!(
            more_info.ends_with(&format!("/docs/errors.md#{code}")),
            "{more_info}"
        );
    }
    assert!(!is_explained(20503, 200));
    assert!(!is_explained(1, 503));
}

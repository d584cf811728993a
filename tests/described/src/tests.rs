use super::*;

const STORES: &str = "/v1/ControlPlane/Stores";

fn description() -> Description {
    Description::new(&ingest_api::description(None)).unwrap()
}

fn headers(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let id = format!("RQ{}", "0".repeat(32));
    let all = [("twilio-request-id", id.as_str())].into_iter();
    all.chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn fault(exchange: &Exchange<'_>) -> String {
    let checked = description().check(exchange);
    checked
        .err()
        .map(|fault| fault.to_string())
        .unwrap_or_default()
}

fn list() -> Value {
    json!({"stores": ["mem_store_00000000000000000000000000"], "meta": {"key": "stores", "pageSize": 1}})
}

#[test]
fn an_answer_that_is_described_has_no_fault() {
    let exchange = Exchange {
        method: "GET",
        path: STORES,
        sent: None,
        status: 200,
        headers: &headers(&[]),
        answered: &list(),
    };
    assert_eq!(fault(&exchange), "");
}

#[test]
fn an_answer_that_is_not_described_is_a_fault_without_a_value() {
    let mut more = list();
    more["secret"] = "ada@example.com".into();
    let mut less = list();
    less["meta"] = json!({"key": "stores"});
    let mut wrong = list();
    wrong["stores"][0] = "ada@example.com".into();
    let cases = [
        (200, headers(&[]), &more),
        (200, headers(&[]), &less),
        (200, headers(&[]), &wrong),
        (201, headers(&[]), &list()),
        (200, BTreeMap::new(), &list()),
        (200, headers(&[("etag", "\"x\"")]), &list()),
    ]
    .map(|(status, headers, body)| (status, headers, body.clone()));
    for (status, headers, answered) in &cases {
        let exchange = Exchange {
            method: "GET",
            path: STORES,
            sent: None,
            status: *status,
            headers,
            answered,
        };
        let fault = fault(&exchange);
        assert!(fault.starts_with("ListStores answered"), "{fault:?}");
        assert!(!fault.contains("ada"), "{fault}");
    }
}

#[test]
fn a_number_in_a_header_is_held_against_its_schema() {
    let operation = "mem_operation_00000000000000000000000000";
    let url = format!("http://127.0.0.1/v1/ControlPlane/Operations/{operation}");
    let answered = json!({"message": "Done", "statusUrl": url});
    for (after, is_right) in [("1", true), ("0", false), ("soon", false)] {
        let headers = headers(&[
            ("retry-after", after),
            ("operation-id", operation),
            ("location", &url),
        ]);
        let sent = json!({"displayName": "a"});
        let exchange = Exchange {
            method: "POST",
            path: STORES,
            sent: Some(&sent),
            status: 202,
            headers: &headers,
            answered: &answered,
        };
        assert_eq!(fault(&exchange).is_empty(), is_right, "{after}");
    }
}

#[test]
fn a_body_that_should_not_have_been_taken_is_a_fault() {
    let description = description();
    for (body, is_right) in [
        (
            json!({"traits": {"Contact": {"email": "a@example.com"}}}),
            true,
        ),
        (
            json!({"traits": {"Contact": {"email": null, "tags": ["a", 1]}}}),
            true,
        ),
        (json!({"traits": {}}), false),
        (json!({}), false),
        (json!({"traits": {"Contact": {"email": {}}}}), false),
        (
            json!({"traits": {"Contact": {"email": "a"}}, "more": 1}),
            false,
        ),
    ] {
        assert_eq!(
            description.takes("CreateProfile", &body),
            Some(is_right),
            "{body}"
        );
        let answered = json!({"message": "Done", "id": "mem_profile_00000000000000000000000000"});
        let exchange = Exchange {
            method: "POST",
            path: "/v1/Stores/x/Profiles",
            sent: Some(&body),
            status: 202,
            headers: &headers(&[]),
            answered: &answered,
        };
        assert_eq!(fault(&exchange).is_empty(), is_right, "{body}");
    }
    assert_eq!(description.takes("FetchProfile", &json!({})), None);
}

#[test]
fn words_of_lists_are_taken_in_any_case() {
    let body = json!({"a": [{"dataType": "string", "limitPolicy": "LIFO", "other": "Kept"}]});
    let expected = json!({"a": [{"dataType": "STRING", "limitPolicy": "lifo", "other": "Kept"}]});
    assert_eq!(folded(&body), expected);
}

#[test]
fn words_of_paths_come_before_ids_and_what_is_no_operation_is_not_looked_at() {
    let description = description();
    let name = |method: &str, path: &str| {
        let operation = description.operation(method, path)?;
        Some(operation.name.clone())
    };
    let profiles = "/v1/Stores/x/Profiles";
    let lookup = format!("{profiles}/Lookup");
    let found = name("POST", &lookup);
    assert_eq!(found.as_deref(), Some("CreateProfilesLookup"));
    // Routed to Lookup, which has no such method.
    assert_eq!(name("GET", &lookup), None);
    let found = name("GET", &format!("{profiles}/y"));
    assert_eq!(found.as_deref(), Some("FetchProfile"));
    assert_eq!(name("GET", &format!("{profiles}/")), None);
    assert_eq!(name("GET", "/"), None);
    assert_eq!(description.operations(), 27);
}

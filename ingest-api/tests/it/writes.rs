//! Writes to a profile that is named: patch, delete, and its identifiers; and its traits, one by one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, KEY_SECRET, NO_PROFILE, READ_KEY, TestService, profiles};

const A: &str = "ada@example.com";
const B: &str = "+13175550100";
const B2: &str = "+13175550101";

async fn send(service: &TestService, method: Method, path: &str, body: &Value) -> Answered {
    Answered::of(service.request(method, path).json(body)).await
}

async fn remove(service: &TestService, path: &str) -> Answered {
    Answered::of(service.request(Method::DELETE, path)).await
}

fn of(profile: &str, rest: &str) -> String {
    format!("{}/{profile}{rest}", profiles())
}

#[track_caller]
fn says(answered: &Answered, message: &str) {
    assert_eq!(answered.status, 202, "{}", answered.body);
    assert_eq!(answered.body, json!({ "message": message }));
}

async fn values(service: &TestService, profile: &str, id_type: &str) -> Value {
    let path = of(profile, &format!("/Identifiers/{id_type}"));
    let fetched = service.get(&path).await;
    if fetched.status == 404 {
        return json!([]);
    }
    assert_eq!(fetched.body["idType"], id_type);
    fetched.body["values"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_writes_and_removes_promoted_traits_at_once() {
    let service = TestService::start().await;
    let id = service.create(json!({"email": A, "phone": B})).await;
    let path = of(&id, "");
    let patch = json!({"traits": {"Contact": {"email": null, "phone": B2}}});
    let patched = send(&service, Method::PATCH, &path, &patch).await;
    says(&patched, "Trait modifications accepted for processing.");
    let fetched = service.get(&path).await;
    assert_eq!(fetched.body["traits"], json!({"Contact": {"phone": B2}}));
    assert_eq!(values(&service, &id, "email").await, json!([A]));
    assert_eq!(values(&service, &id, "phone").await, json!([B, B2]));
    for nothing in [json!({}), json!({"traits": {}}), json!({"traits": null})] {
        let patched = send(&service, Method::PATCH, &path, &nothing).await;
        says(&patched, "Trait modifications accepted for processing.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_names_somebody_else_merges() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": A})).await;
    let two = service.create(json!({"phone": B})).await;
    let patch = json!({"traits": {"Contact": {"email": A}}});
    let patched = send(&service, Method::PATCH, &of(&two, ""), &patch).await;
    assert_eq!(patched.status, 202);
    let merged = service.get(&of(&two, "")).await;
    assert_eq!(merged.status, 301);
    assert_eq!(merged.header("canonical-profile-id"), Some(one.as_str()));
    assert_eq!(values(&service, &one, "phone").await, json!([B]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_profile_is_gone_and_its_identifiers_are_free() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": A})).await;
    let two = service.create(json!({"phone": B})).await;
    service.create(json!({"email": A, "phone": B})).await;
    says(
        &remove(&service, &of(&one, "")).await,
        "Profile accepted for deletion.",
    );
    for gone in [&one, &two] {
        for rest in ["", "/Identifiers", "/Identifiers/email", "/Traits"] {
            service.get(&of(gone, rest)).await.is(404, 20404);
        }
        remove(&service, &of(gone, "")).await.is(404, 20404);
        let patch = json!({"traits": {"Contact": {"email": A}}});
        send(&service, Method::PATCH, &of(gone, ""), &patch)
            .await
            .is(404, 20404);
    }
    assert_eq!(service.lookup("email", A).await, json!([]));
    assert_eq!(service.listed().await, json!([]));
    let anew = service.create(json!({"phone": B})).await;
    assert!(anew != one && anew != two);
    let fetched = service.get(&of(&anew, "")).await;
    assert_eq!(fetched.body["traits"], json!({"Contact": {"phone": B}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_is_added_changed_and_removed() {
    let service = TestService::start().await;
    let id = service.create(json!({"email": A})).await;
    let all = of(&id, "/Identifiers");
    let phone = of(&id, "/Identifiers/phone");
    let body = json!({"idType": "phone", "value": "317-555-0100"});
    says(
        &send(&service, Method::POST, &all, &body).await,
        "Identifier accepted for processing.",
    );
    assert_eq!(values(&service, &id, "phone").await, json!([B]));
    let fetched = service.get(&of(&id, "")).await;
    assert_eq!(fetched.body["traits"], json!({"Contact": {"email": A}}));

    let change = json!({"idType": "phone", "oldValue": B, "newValue": B2});
    says(
        &send(&service, Method::PATCH, &phone, &change).await,
        "Identifier update accepted.",
    );
    assert_eq!(values(&service, &id, "phone").await, json!([B2]));
    assert_eq!(service.lookup("phone", B).await, json!([]));
    send(&service, Method::PATCH, &phone, &change)
        .await
        .is(404, 20404);
    let body = json!({"idType": "phone", "value": B});
    send(&service, Method::POST, &all, &body).await;
    let taken = json!({"idType": "phone", "oldValue": B2, "newValue": B});
    send(&service, Method::PATCH, &phone, &taken)
        .await
        .is(409, 20409);

    // The older one first: it was changed before the other was added.
    let removal = remove(&service, &phone).await;
    says(&removal, "Identifier removal accepted.");
    assert_eq!(values(&service, &id, "phone").await, json!([B]));
    says(
        &remove(&service, &format!("{phone}?removeAll=true")).await,
        "Identifier removal accepted.",
    );
    remove(&service, &phone).await.is(404, 20404);
    service.get(&phone).await.is(404, 20404);
    service
        .get(&of(&id, "/Identifiers/nobody"))
        .await
        .is(404, 20404);
    remove(&service, &of(&id, "/Identifiers/nobody"))
        .await
        .is(404, 20404);
    remove(&service, &format!("{phone}?removeAll=yes"))
        .await
        .is(400, 400)
        .names(&["removeAll"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_profile_sends_writes_on_and_keeps_everything() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": A})).await;
    let two = service.create(json!({"phone": B})).await;
    service.create(json!({"email": A, "phone": B})).await;
    let writes = [
        (
            Method::PATCH,
            "",
            json!({"traits": {"Contact": {"phone": B2}}}),
        ),
        (Method::DELETE, "", json!({})),
        (
            Method::POST,
            "/Identifiers",
            json!({"idType": "phone", "value": B2}),
        ),
        (
            Method::PATCH,
            "/Identifiers/phone",
            json!({"idType": "phone", "oldValue": B, "newValue": B2}),
        ),
        (
            Method::DELETE,
            "/Identifiers/phone?removeAll=true",
            json!({}),
        ),
    ];
    let base = format!("http://{}", service.address);
    for (method, rest, body) in writes {
        let answered = send(&service, method, &of(&two, rest), &body).await;
        assert_eq!(answered.status, 308, "{rest}");
        let location = format!("{base}{}", of(&one, rest));
        assert_eq!(answered.header("location"), Some(location.as_str()));
    }
    assert_eq!(values(&service, &one, "phone").await, json!([B]));
    assert_eq!(service.listed().await, json!([one]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_value_is_told_after_where_the_profile_is() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": A})).await;
    let two = service.create(json!({"phone": B})).await;
    service.create(json!({"email": A, "phone": B})).await;
    let faulty = [
        (
            Method::PATCH,
            "",
            json!({"traits": {"Contact": {"favourite": 1}}}),
            "traits.Contact.favourite",
        ),
        (
            Method::POST,
            "/Identifiers",
            json!({"idType": "nobody", "value": "x"}),
            "idType",
        ),
        (
            Method::POST,
            "/Identifiers",
            json!({"idType": "phone", "value": "12345"}),
            "value",
        ),
        (
            Method::PATCH,
            "/Identifiers/phone",
            json!({"idType": "phone", "oldValue": "", "newValue": B2}),
            "oldValue",
        ),
        (
            Method::PATCH,
            "/Identifiers/phone",
            json!({"idType": "phone", "oldValue": B, "newValue": "no"}),
            "newValue",
        ),
    ];
    let written = service.watch.written();
    for (method, rest, body, field) in faulty {
        let to = |profile: &str| of(profile, rest);
        send(&service, method.clone(), &to(&one), &body)
            .await
            .is(400, 400)
            .names(&[field]);
        let moved = send(&service, method.clone(), &to(&two), &body).await;
        assert_eq!(moved.status, 308, "{field}");
        send(&service, method, &to(NO_PROFILE), &body)
            .await
            .is(404, 20404);
    }
    // A body of another shape comes before the profile.
    let shapes = [
        (Method::PATCH, "", json!({"traits": []}), "traits"),
        (
            Method::POST,
            "/Identifiers",
            json!({"idType": "phone"}),
            "value",
        ),
        (
            Method::PATCH,
            "/Identifiers/phone",
            json!({"idType": "email", "oldValue": B, "newValue": B2}),
            "idType",
        ),
    ];
    for (method, rest, body, field) in shapes {
        send(&service, method, &of(NO_PROFILE, rest), &body)
            .await
            .is(400, 400)
            .names(&[field]);
    }
    assert_eq!(service.watch.written(), written, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_read_writes_nothing() {
    let service = TestService::start().await;
    let id = service.create(json!({"email": A})).await;
    let written = service.watch.written();
    let writes = [
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::POST, "/Identifiers"),
        (Method::PATCH, "/Identifiers/email"),
        (Method::DELETE, "/Identifiers/email"),
    ];
    for (method, rest) in writes {
        let request = service
            .bare(method, &of(&id, rest))
            .basic_auth(READ_KEY, Some(KEY_SECRET))
            .json(&json!({}));
        Answered::of(request).await.is(403, 403);
    }
    for rest in ["", "/Traits", "/Identifiers/email"] {
        let request = service
            .bare(Method::GET, &of(&id, rest))
            .basic_auth(READ_KEY, Some(KEY_SECRET));
        assert_eq!(Answered::of(request).await.status, 200);
    }
    assert_eq!(service.watch.written(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn traits_are_listed_one_by_one_in_pages() {
    let service = TestService::start().await;
    let id = service.create(json!({"email": A, "phone": B})).await;
    let patch = json!({"traits": {"Contact": {"whatsapp": "w", "chatId": "c"}}});
    send(&service, Method::PATCH, &of(&id, ""), &patch).await;
    let list = of(&id, "/Traits");
    let all = service.get(&list).await;
    assert_eq!(all.status, 200);
    assert_eq!(all.body["meta"], json!({"key": "traits", "pageSize": 4}));
    let named = |page: &Value| -> Vec<String> {
        let traits = page["traits"].as_array().unwrap().iter();
        traits
            .map(|one| {
                assert_eq!(one["traitGroup"], "Contact");
                let at = one["timestamp"].as_str().unwrap();
                assert!(at.len() == 20 && at.ends_with('Z'), "{at}");
                one["name"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    // Newest first; of one time, the later name first.
    let expected = ["whatsapp", "chatId", "phone", "email"];
    assert_eq!(named(&all.body), expected);
    assert_eq!(all.body["traits"][3]["value"], A);

    for (order, size) in [("DESC", 1), ("DESC", 3), ("ASC", 1), ("ASC", 2), ("ASC", 4)] {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let page = service
                .get(&format!("{list}?pageSize={size}&orderBy={order}{token}"))
                .await;
            assert_eq!(page.status, 200, "{}", page.body);
            seen.extend(named(&page.body));
            match page.body["meta"]["nextToken"].as_str() {
                Some(next) => token = format!("&pageToken={next}"),
                None => break,
            }
        }
        if order == "ASC" {
            seen.reverse();
        }
        assert_eq!(seen, expected, "{order} {size}");
    }

    let page = service.get(&format!("{list}?pageSize=1")).await;
    let token = page.body["meta"]["nextToken"].as_str().unwrap();
    let other = service.create(json!({"email": "b@example.com"})).await;
    for elsewhere in [
        format!("{}?pageToken={token}", of(&other, "/Traits")),
        format!("{list}?pageToken={token}&orderBy=ASC"),
        format!("{}?pageToken={token}", profiles()),
        format!("{list}?pageToken=A{token}"),
    ] {
        let refused = service.get(&elsewhere).await;
        refused.is(400, 400).names(&["pageToken"]);
    }
    let none = service.get(&format!("{list}?traitGroups=Loyalty")).await;
    assert_eq!(
        none.body,
        json!({"traits": [], "meta": {"key": "traits", "pageSize": 0}})
    );
}

//! The control plane: stores, trait groups, settings and operations.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answered, KEY_SECRET, NO_STORE, OTHER_ACCOUNT, OTHER_STORE, OTHER_TOKEN, READ_KEY, STORE,
    Setup, TestService, eventually, profiles, profiles_of,
};

const STORES: &str = "/v1/ControlPlane/Stores";
const NO_OPERATION: &str = "mem_operation_00000000000000000000000009";

fn store_path(store: &str) -> String {
    format!("{STORES}/{store}")
}

fn groups(store: &str) -> String {
    format!("{STORES}/{store}/TraitGroups")
}

fn settings(store: &str) -> String {
    format!("{STORES}/{store}/IdentityResolutionSettings")
}

impl TestService {
    async fn send(&self, method: Method, path: &str, body: &Value) -> Answered {
        Answered::of(self.request(method, path).json(body)).await
    }

    async fn send_if_match(&self, method: Method, path: &str, tag: &str, body: &Value) -> Answered {
        let request = self.request(method, path).header("if-match", tag);
        Answered::of(request.json(body)).await
    }

    async fn remove(&self, path: &str) -> Answered {
        Answered::of(self.request(Method::DELETE, path)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::PUT, path, body).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::PATCH, path, body).await
    }

    async fn of_other(&self, method: Method, path: &str, body: Option<&Value>) -> Answered {
        let mut request = self
            .bare(method, path)
            .basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN));
        if let Some(body) = body {
            request = request.json(body);
        }
        Answered::of(request).await
    }

    /// The operation of a write, which must have been accepted, as it is read.
    async fn operation(&self, accepted: &Answered) -> Value {
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        let id = accepted.header("operation-id").unwrap();
        let url = accepted.header("location").unwrap();
        let message = accepted.body["message"].as_str().unwrap();
        assert_eq!(accepted.body, json!({"message": message, "statusUrl": url}));
        assert_eq!(accepted.header("retry-after"), Some("1"));
        let path = format!("/v1/ControlPlane/Operations/{id}");
        assert_eq!(url, format!("http://{}{path}", self.address));
        let fetched = self.get(&path).await;
        assert_eq!(fetched.status, 200, "{}", fetched.body);
        assert_eq!(fetched.header("operation-id"), Some(id));
        assert!(fetched.header("retry-after").is_some());
        assert_eq!(fetched.body["operationId"], id);
        assert_eq!(fetched.body["statusUrl"], url);
        assert_eq!(fetched.body["createdAt"].as_str().unwrap().len(), 20);
        fetched.body
    }

    /// The resource that a write was about; it must be complete.
    async fn completed(&self, accepted: &Answered) -> String {
        let operation = self.operation(accepted).await;
        assert_eq!(operation["status"], "COMPLETED");
        assert_eq!(operation["completedAt"].as_str().unwrap().len(), 20);
        assert_eq!(operation["result"]["type"], "RESOURCE_ID");
        operation["result"]["id"].as_str().unwrap().to_owned()
    }

    async fn make_store(&self, name: &str) -> String {
        let body = json!({"displayName": name});
        self.completed(&self.post(STORES, &body).await).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_created_read_changed_and_deleted() {
    let setup = Setup::default();
    let mut limits = setup.limits;
    limits.request_deadline = Duration::from_millis(500);
    let service = TestService::start_with(Setup { limits, ..setup }).await;

    let body = json!({"displayName": "shop-1", "description": "A shop", "unknown": [1]});
    let accepted = service.post(STORES, &body).await;
    let store = service.completed(&accepted).await;
    assert!(store.starts_with("mem_store_"), "{store}");
    let operation = service.operation(&accepted).await;
    let path = store_path(&store);
    assert_eq!(
        operation["resultUrl"],
        format!("http://{}{path}", service.address)
    );

    let fetched = service.get(&path).await;
    assert_eq!(fetched.status, 200);
    assert_eq!(
        fetched.body,
        json!({"id": store, "displayName": "shop-1", "description": "A shop", "status": "ACTIVE",
            "intelligenceServiceId": null, "version": 1})
    );
    let tag = fetched.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");

    // It takes profiles at once, under the default settings.
    let traits = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    let created = service.post(&profiles_of(&store), &traits).await;
    assert_eq!(created.status, 202, "{}", created.body);

    let renamed = service
        .patch(&path, &json!({"displayName": "shop-2"}))
        .await;
    assert_eq!(service.completed(&renamed).await, store);
    let nothing = Answered::of(service.request(Method::PATCH, &path)).await;
    assert_eq!(service.completed(&nothing).await, store);
    let fetched = service.get(&path).await;
    assert_eq!(fetched.body["displayName"], "shop-2");
    assert_eq!(fetched.body["description"], "A shop");
    assert_eq!(fetched.body["version"], 3);
    assert_ne!(fetched.header("etag"), Some(tag.as_str()));

    let records = service.watch.published();
    let deleted = service.remove(&path).await;
    let operation = service.operation(&deleted).await;
    assert_eq!(operation["status"], "RUNNING");
    assert_eq!(operation["result"], Value::Null);
    assert_eq!(operation["resultUrl"], Value::Null);
    service.get(&path).await.is(404, 520_041);
    service.remove(&path).await.is(404, 520_041);
    service.get(&settings(&store)).await.is(404, 520_041);
    let late = service.post(&profiles_of(&store), &traits).await;
    late.is(404, 520_041);
    let listed = service.get(STORES).await;
    assert_eq!(listed.body["stores"], json!([STORE]));

    // Nobody can use it by the time its purge is asked for.
    eventually("the deletion is complete", async || {
        service.operation(&deleted).await["status"] == "COMPLETED"
    })
    .await;
    assert_eq!(service.completed(&deleted).await, store);
    assert_eq!(service.watch.published(), records + 1);
    // Its name is free.
    service.make_store("shop-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_stores_are_unique_and_an_account_has_fifteen() {
    let service = TestService::start().await;
    let first = service.make_store("one").await;
    let taken = json!({"displayName": "one"});
    service.post(STORES, &taken).await.is(400, 520_045);
    let second = service.make_store("two").await;
    let path = store_path(&second);
    service.patch(&path, &taken).await.is(400, 520_045);
    // A store may keep its own name.
    let kept = service.patch(&path, &json!({"displayName": "two"})).await;
    assert_eq!(service.completed(&kept).await, second);
    // Names of another account do not count, and case does.
    let body = json!({"displayName": "one"});
    let others = service.of_other(Method::POST, STORES, Some(&body)).await;
    assert_eq!(others.status, 202);
    service.make_store("One").await;
    for n in 4..15 {
        service.make_store(&format!("store-{n}")).await;
    }
    let more = json!({"displayName": "one-too-many"});
    service.post(STORES, &more).await.is(400, 520_044);
    assert_eq!(service.remove(&store_path(&first)).await.status, 202);
    assert_eq!(service.post(STORES, &more).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_stores_created_at_once_one_has_the_name() {
    let service = TestService::start().await;
    let body = json!({"displayName": "contended"});
    let attempts = (0..8).map(|_| service.post(STORES, &body));
    let answers = futures_util::future::join_all(attempts).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let refused = answers
        .iter()
        .filter(|answer| answer.body["code"] == 520_045);
    assert_eq!((accepted, refused.count()), (1, 7));
    let listed = service.get(STORES).await;
    assert_eq!(listed.body["stores"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_and_queries_have_the_code_of_the_control_plane() {
    let service = TestService::start().await;
    let written = service.watch.written();
    service
        .post(STORES, &json!({}))
        .await
        .is(400, 520_046)
        .names(&["displayName"]);
    let wrong = json!({"displayName": "a b", "description": ""});
    let fields = &["displayName", "description"];
    service
        .post(STORES, &wrong)
        .await
        .is(400, 520_046)
        .names(fields);
    service
        .patch(&store_path(STORE), &wrong)
        .await
        .is(400, 520_046)
        .names(fields);
    let request = service.request(Method::POST, STORES);
    let malformed = request.header("content-type", "application/json").body("{");
    Answered::of(malformed).await.is(400, 520_046);
    Answered::of(service.request(Method::POST, STORES).body("{}"))
        .await
        .is(415, 400);
    service
        .get(&format!("{STORES}?pageSize=0"))
        .await
        .is(400, 520_046)
        .names(&["pageSize"]);
    let include = format!("{}?includeTraits=yes", groups(STORE));
    service
        .get(&include)
        .await
        .is(400, 520_046)
        .names(&["includeTraits"]);
    let long = "a".repeat(101);
    service
        .send_if_match(Method::PATCH, &store_path(STORE), &long, &json!({}))
        .await
        .is(400, 520_046)
        .names(&["If-Match"]);
    service
        .get(&format!("{STORES}/store"))
        .await
        .is(400, 520_049);
    let operations = "/v1/ControlPlane/Operations";
    service
        .get(&format!("{operations}/{STORE}"))
        .await
        .is(400, 520_051);
    service
        .get(&format!("{operations}/{NO_OPERATION}"))
        .await
        .is(404, 520_052);
    let undecodable = "mem_operation_0000000000000000000000000u";
    service
        .get(&format!("{operations}/{undecodable}"))
        .await
        .is(404, 520_052);
    assert_eq!(service.watch.written(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_any_more_is_stale() {
    let service = TestService::start().await;
    let body = json!({"displayName": "Work", "traits": {"title": {"dataType": "STRING"}}});
    let made = service.post(&groups(STORE), &body).await;
    assert_eq!(service.completed(&made).await, "Work");
    let put = json!({"identifierConfigs": [{"idType": "email"}], "matchingRules": ["email"]});
    let cases = [
        (
            Method::PATCH,
            store_path(STORE),
            json!({"description": "x"}),
        ),
        (Method::PUT, settings(STORE), put),
        (
            Method::PATCH,
            format!("{}/Work", groups(STORE)),
            json!({"description": "x"}),
        ),
    ];
    for (method, path, body) in cases {
        let tag = service.get(&path).await.header("etag").unwrap().to_owned();
        let change = |tag: String| {
            let (service, method, path, body) = (&service, method.clone(), &path, &body);
            async move { service.send_if_match(method, path, &tag, body).await }
        };
        assert_eq!(change(tag.clone()).await.status, 202, "{path}");
        let version = service.get(&path).await;
        change(tag.clone()).await.is(412, 520_043);
        change("\"no tag\"".to_owned()).await.is(412, 520_043);
        assert_eq!(service.get(&path).await.body, version.body, "{path}");
        let now = version.header("etag").unwrap();
        assert_eq!(change(format!("W/{now}")).await.status, 202, "{path}");
        let now = service.get(&path).await.header("etag").unwrap().to_owned();
        assert_eq!(change(now.trim_matches('"').to_owned()).await.status, 202);
        assert_eq!(change("*".to_owned()).await.status, 202, "{path}");
        let last = service.get(&path).await;
        let version = if last.body["traitGroup"].is_null() {
            &last.body["version"]
        } else {
            &last.body["traitGroup"]["version"]
        };
        assert_eq!(*version, 5, "{path}");
    }
    // A group that is made anew under the name is another one.
    let work = format!("{}/Work", groups(STORE));
    assert_eq!(service.remove(&work).await.status, 202);
    assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    let first = service.get(&work).await.header("etag").unwrap().to_owned();
    assert_eq!(service.remove(&work).await.status, 202);
    assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    service
        .send_if_match(Method::PATCH, &work, &first, &json!({}))
        .await
        .is(412, 520_043);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trait_group_is_created_read_changed_and_deleted() {
    let service = TestService::start().await;
    let body = json!({"displayName": "Home", "description": "At home", "traits": {
        "household_id": {"dataType": "STRING", "description": "who lives there",
            "validationRule": {"ruleType": "STRING", "pattern": "^h", "minLength": 2, "maxLength": 9}},
        "mail": {"dataType": "STRING", "idTypePromotion": "email"},
        "rooms": {"dataType": "NUMBER", "validationRule": {"ruleType": "NUMBER", "min": 1, "max": 9.5}},
        "pets": {"dataType": "ARRAY", "validationRule": {"ruleType": "ARRAY", "minItems": 0, "maxItems": 3}},
        "garden": {"dataType": "BOOLEAN", "validationRule": {"ruleType": "BOOLEAN"}}}});
    let made = service.post(&groups(STORE), &body).await;
    let operation = service.operation(&made).await;
    assert_eq!(
        operation["result"],
        json!({"type": "RESOURCE_ID", "id": "Home"})
    );
    let path = format!("{}/Home", groups(STORE));
    assert_eq!(
        operation["resultUrl"],
        format!("http://{}{path}", service.address)
    );

    let mut expected = body.clone();
    let traits = expected["traits"].as_object_mut().unwrap();
    let household = traits.remove("household_id").unwrap();
    traits.insert("householdId".to_owned(), household);
    expected["version"] = 1.into();
    let fetched = service.get(&path).await;
    assert_eq!(fetched.status, 200);
    assert_eq!(
        fetched.body,
        json!({"traitGroup": expected, "meta": {"key": "traits", "pageSize": 5}})
    );
    let bare = service.get(&format!("{path}?includeTraits=false")).await;
    assert_eq!(
        bare.body,
        json!({"traitGroup": {"displayName": "Home", "description": "At home", "version": 1},
            "meta": {"key": "traits", "pageSize": 0}})
    );
    service.post(&groups(STORE), &body).await.is(400, 520_055);

    // What it defines can be written at once, and what it promotes names somebody.
    let create = json!({"traits": {"Home": {"mail": "ada@example.com", "rooms": 3}}});
    let created = service.post(&profiles(), &create).await;
    assert_eq!(created.status, 202, "{}", created.body);
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(
        service.lookup("email", "ada@example.com").await,
        json!([id])
    );
    let broken =
        json!({"traits": {"Home": {"mail": "ada@example.com", "rooms": 10, "pets": [1, 2, 3, 4]}}});
    service
        .post(&profiles(), &broken)
        .await
        .is(400, 400)
        .names(&["traits.Home.rooms", "traits.Home.pets"]);

    let change = json!({"traits": {"mail": {"dataType": "STRING"}, "pets": {"dataType": ""},
        "never": {"dataType": ""}, "floor": {"dataType": "NUMBER"}}});
    let changed = service.patch(&path, &change).await;
    assert_eq!(service.completed(&changed).await, "Home");
    let group = service.get(&path).await.body["traitGroup"].clone();
    assert_eq!(group["version"], 2);
    assert_eq!(group["description"], "At home");
    let mut names: Vec<_> = group["traits"].as_object().unwrap().keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["floor", "garden", "householdId", "mail", "rooms"]);
    assert_eq!(group["traits"]["mail"], json!({"dataType": "STRING"}));
    let create = json!({"traits": {"Contact": {"email": "b@example.com"}, "Home": {"pets": []}}});
    service
        .post(&profiles(), &create)
        .await
        .is(400, 400)
        .names(&["traits.Home.pets"]);
    let retyped = json!({"traits": {"rooms": {"dataType": "STRING"}}});
    service
        .patch(&path, &retyped)
        .await
        .is(400, 520_046)
        .names(&["traits.rooms.dataType"]);

    let deleted = service.remove(&path).await;
    assert_eq!(service.completed(&deleted).await, "Home");
    service.get(&path).await.is(404, 520_047);
    service.patch(&path, &json!({})).await.is(404, 520_047);
    service.remove(&path).await.is(404, 520_047);
    service
        .post(
            &profiles(),
            &json!({"traits": {"Contact": {"email": "b@example.com"}, "Home": {"rooms": 1}}}),
        )
        .await
        .is(400, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_definition_that_went_do_not_come_back_with_its_name() {
    let service = TestService::start().await;
    let body = json!({"displayName": "Work", "traits": {"mail": {"dataType": "STRING", "idTypePromotion": "email"}}});
    assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    let create = json!({"traits": {"Work": {"mail": "ada@example.com"}}});
    let created = service.post(&profiles(), &create).await;
    let path = format!("{}/{}", profiles(), created.body["id"].as_str().unwrap());
    assert_eq!(service.get(&path).await.body["traits"], create["traits"]);
    assert_eq!(
        service
            .remove(&format!("{}/Work", groups(STORE)))
            .await
            .status,
        202
    );
    assert_eq!(service.get(&path).await.body["traits"], json!({}));
    assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    assert_eq!(service.get(&path).await.body["traits"], json!({}));
    // The identifier is no trait, and stays.
    assert_eq!(
        service.create(json!({"email": "ada@example.com"})).await,
        created.body["id"].as_str().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_and_its_promoted_traits_are_protected() {
    let service = TestService::start().await;
    let path = format!("{}/Contact", groups(STORE));
    service.remove(&path).await.is(409, 520_050);
    for email in [
        json!({"dataType": ""}),
        json!({"dataType": "STRING"}),
        json!({"dataType": "STRING", "idTypePromotion": "chat"}),
    ] {
        let change = json!({"traits": {"email": email, "nick": {"dataType": "STRING"}}});
        service.patch(&path, &change).await.is(400, 520_050);
    }
    let contact = service.get(&path).await.body["traitGroup"].clone();
    assert_eq!(contact["version"], 1);
    assert_eq!(
        contact["traits"]["email"],
        json!({"dataType": "STRING", "idTypePromotion": "email"})
    );
    let change = json!({"traits": {"city": {"dataType": ""}, "nick": {"dataType": "STRING"}}});
    assert_eq!(service.patch(&path, &change).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_traits_have_their_limits() {
    let service = TestService::start().await;
    let traits = |count: usize| -> Value {
        let traits = (0..count).map(|n| (format!("t{n}"), json!({"dataType": "STRING"})));
        Value::Object(traits.collect())
    };
    let full = json!({"displayName": "Full", "traits": traits(96)});
    service.post(&groups(STORE), &full).await.is(400, 520_054);
    let full = json!({"displayName": "Full", "traits": traits(95)});
    assert_eq!(service.post(&groups(STORE), &full).await.status, 202);
    let more = json!({"traits": {"more": {"dataType": "STRING"}}});
    let path = format!("{}/Full", groups(STORE));
    service.patch(&path, &more).await.is(400, 520_054);
    // Contact, Loyalty and Full are there.
    for n in 3..50 {
        let body = json!({"displayName": format!("G{n}")});
        assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    }
    let body = json!({"displayName": "G50"});
    service.post(&groups(STORE), &body).await.is(400, 520_053);
    let wrong = json!({"displayName": "G 51", "traits": {"1": {}, "a": {"dataType": "STRING", "idTypePromotion": "none"}}});
    service
        .post(&groups(STORE), &wrong)
        .await
        .is(400, 520_046)
        .names(&["traits.1"]);
    let path = format!("{}/G3", groups(STORE));
    let wrong = json!({"traits": {"a": {"dataType": "STRING", "idTypePromotion": "none"},
        "b": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "pattern": "("}},
        "c": {"dataType": "NUMBER", "validationRule": {"ruleType": "STRING"}}}});
    service.patch(&path, &wrong).await.is(400, 520_046).names(&[
        "traits.a.idTypePromotion",
        "traits.b.validationRule.pattern",
        "traits.c.validationRule.ruleType",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_whole_and_replaced_whole() {
    let service = TestService::start().await;
    let path = settings(STORE);
    let fetched = service.get(&path).await;
    assert_eq!(fetched.status, 200);
    let config = |name: &str, normalization: &str| {
        json!({"idType": name, "matchingAlgo": "exact", "matchingThreshold": 75, "limit": 100,
            "limitPolicy": "fifo", "enforceUnique": true, "normalization": normalization})
    };
    assert_eq!(
        fetched.body,
        json!({"identifierConfigs": [config("email", "email"), config("whatsapp", "trim"),
            config("phone", "phone"), config("chat", "trim")],
            "matchingRules": ["email", "whatsapp", "phone", "chat"], "version": 1})
    );
    // What was read can be sent back.
    let same = service.put(&path, &fetched.body).await;
    assert_eq!(service.completed(&same).await, STORE);
    let operation = service.operation(&same).await;
    assert_eq!(
        operation["resultUrl"],
        format!("http://{}{path}", service.address)
    );

    let put = json!({"identifierConfigs": [{"idType": "email", "limit": 2, "limitPolicy": "LIFO"},
        {"idType": "crm-id", "normalization": "none", "enforceUnique": false}], "matchingRules": ["crm-id"]});
    assert_eq!(service.put(&path, &put).await.status, 202);
    let mut email = config("email", "email");
    (email["limit"], email["limitPolicy"]) = (2.into(), "lifo".into());
    let mut crm = config("crm-id", "none");
    crm["enforceUnique"] = false.into();
    assert_eq!(
        service.get(&path).await.body,
        json!({"identifierConfigs": [email, crm], "matchingRules": ["crm-id"], "version": 3})
    );
    // In force at once: phone is no type any more.
    let lookup = json!({"idType": "phone", "value": "+13175550100"});
    service
        .post(&format!("{}/Lookup", profiles()), &lookup)
        .await
        .is(400, 400);

    let wrong = json!({"identifierConfigs": [{"idType": "phone", "normalization": "trim"},
        {"idType": "x", "matchingAlgo": "fuzzy", "limit": 101}], "matchingRules": ["phone", "phone", "none"]});
    service.put(&path, &wrong).await.is(400, 520_046).names(&[
        "identifierConfigs[0].normalization",
        "identifierConfigs[1].idType",
        "identifierConfigs[1].matchingAlgo",
        "identifierConfigs[1].limit",
        "matchingRules[1]",
        "matchingRules[2]",
    ]);
    assert_eq!(service.get(&path).await.body["version"], 3);
}

/// Settings with `home` and `device`, not unique, in the rules or not.
fn shared_types(in_rules: bool) -> Value {
    let mut put = json!({"identifierConfigs": [{"idType": "email"}, {"idType": "home", "enforceUnique": false},
        {"idType": "device", "enforceUnique": false}], "matchingRules": ["email"]});
    if in_rules {
        put["matchingRules"] = json!(["email", "home", "device"]);
    }
    put
}

#[tokio::test(flavor = "multi_thread")]
async fn values_written_outside_the_rules_do_not_begin_to_match() {
    let service = TestService::start().await;
    assert_eq!(
        service
            .put(&settings(STORE), &shared_types(false))
            .await
            .status,
        202
    );
    let promoted = |to: &str| json!({"dataType": "STRING", "idTypePromotion": to});
    let group = json!({"displayName": "Home", "traits": {"id": promoted("home"), "device": promoted("device")}});
    assert_eq!(service.post(&groups(STORE), &group).await.status, 202);
    let both = json!({"id": "h", "device": "d"});
    let create = async |email: Option<&str>| {
        let mut traits = json!({"Home": both});
        if let Some(email) = email {
            traits["Contact"] = json!({"email": email});
        }
        let created = service.post(&profiles(), &json!({"traits": traits})).await;
        assert_eq!(created.status, 202, "{}", created.body);
        tokio::time::sleep(Duration::from_millis(2)).await;
        created.body["id"].as_str().unwrap().to_owned()
    };
    let before = create(Some("a@example.com")).await;

    assert_eq!(
        service
            .put(&settings(STORE), &shared_types(true))
            .await
            .status,
        202
    );
    let after = create(None).await;
    assert_ne!(after, before, "what was written before does not match");
    assert_eq!(
        service.lookup("home", "h").await,
        json!([before, after]),
        "and stays visible"
    );
    assert_eq!(
        create(Some("b@example.com")).await,
        after,
        "what was written since does"
    );
    // A change of something else leaves it at that.
    let mut more = shared_types(true);
    more["identifierConfigs"][0]["limit"] = 7.into();
    assert_eq!(service.put(&settings(STORE), &more).await.status, 202);
    assert_eq!(create(None).await, after);
    let read = service.get(&settings(STORE)).await;
    assert_eq!(
        read.body["sharedSince"],
        Value::Null,
        "and is nobody's to see"
    );

    // Out of the rules and back, it begins anew.
    for in_rules in [false, true] {
        assert_eq!(
            service
                .put(&settings(STORE), &shared_types(in_rules))
                .await
                .status,
            202
        );
    }
    let last = create(None).await;
    assert!(last != after && last != before);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_in_both_orders_and_tokens_fit_their_list_only() {
    let service = TestService::start().await;
    let mut stores = vec![STORE.to_owned()];
    for n in 0..4 {
        stores.push(service.make_store(&format!("s{n}")).await);
        let body = json!({"displayName": format!("G{n}")});
        assert_eq!(service.post(&groups(STORE), &body).await.status, 202);
    }
    let names = ["Contact", "Loyalty", "G0", "G1", "G2", "G3"].map(str::to_owned);
    let traits = [
        "chatId",
        "city",
        "country",
        "email",
        "firstName",
        "lastName",
        "phone",
        "postalCode",
        "preferredLanguage",
        "state",
        "street",
        "whatsapp",
    ]
    .map(str::to_owned);
    let contact = format!("{}/Contact", groups(STORE));
    let read = |key: &'static str, body: &Value| -> Vec<String> {
        match key {
            "stores" => serde_json::from_value(body["stores"].clone()).unwrap(),
            "traitGroups" => body["traitGroups"]
                .as_array()
                .unwrap()
                .iter()
                .map(|group| group["displayName"].as_str().unwrap().to_owned())
                .collect(),
            _ => body["traitGroup"]["traits"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect(),
        }
    };
    let mut tokens = Vec::new();
    for (path, key, size, all) in [
        (STORES.to_owned(), "stores", 2, stores.clone()),
        (groups(STORE), "traitGroups", 2, names.to_vec()),
        (contact.clone(), "traits", 5, traits.to_vec()),
    ] {
        for order in ["ASC", "DESC"] {
            let mut expected = all.clone();
            if order == "DESC" {
                expected.reverse();
            }
            let (mut found, mut query, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = service
                    .get(&format!("{path}?pageSize={size}&orderBy={order}{query}"))
                    .await;
                assert_eq!(page.status, 200, "{}", page.body);
                let items = read(key, &page.body);
                assert_eq!(page.body["meta"]["key"], key);
                assert_eq!(page.body["meta"]["pageSize"], items.len());
                found.extend(items);
                pages += 1;
                let Some(token) = page.body["meta"]["nextToken"].as_str() else {
                    break;
                };
                tokens.push((format!("{path}?orderBy={order}"), token.to_owned()));
                query = format!("&pageToken={token}");
            }
            assert_eq!(found, expected, "{path} {order}");
            assert_eq!(pages, 3, "{path}");
        }
    }
    let loyalty = format!("{}/Loyalty", groups(STORE));
    for (list, token) in &tokens {
        for (other, _) in &tokens {
            let page = service.get(&format!("{other}&pageToken={token}")).await;
            if other == list {
                assert_eq!(page.status, 200);
            } else {
                page.is(400, 520_046).names(&["pageToken"]);
            }
        }
        service
            .get(&format!("{loyalty}?pageToken={token}"))
            .await
            .is(400, 520_046);
        let others = service
            .of_other(Method::GET, &format!("{STORES}?pageToken={token}"), None)
            .await;
        others.is(400, 520_046);
        let forged = format!("{list}&pageToken={}A", &token[..token.len() - 1]);
        if !token.ends_with('A') {
            service.get(&forged).await.is(400, 520_046);
        }
    }
    // By itself the newest come first, and too large a page is cut.
    stores.reverse();
    let page = service.get(&format!("{STORES}?pageSize=100000")).await;
    assert_eq!(page.body["stores"], json!(stores));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_accounts_is_not_there() {
    let service = TestService::start().await;
    let accepted = service
        .patch(&store_path(STORE), &json!({"description": "x"}))
        .await;
    let operation = accepted.header("operation-id").unwrap();
    let group = json!({"displayName": "Work"});
    let put = json!({"identifierConfigs": [{"idType": "email"}], "matchingRules": ["email"]});
    let cases = |store: &str| {
        vec![
            (Method::GET, store_path(store), None),
            (
                Method::PATCH,
                store_path(store),
                Some(json!({"description": "y"})),
            ),
            (Method::DELETE, store_path(store), None),
            (Method::GET, groups(store), None),
            (Method::POST, groups(store), Some(group.clone())),
            (Method::GET, format!("{}/Contact", groups(store)), None),
            (
                Method::PATCH,
                format!("{}/Contact", groups(store)),
                Some(json!({})),
            ),
            (Method::DELETE, format!("{}/Loyalty", groups(store)), None),
            (Method::GET, settings(store), None),
            (Method::PUT, settings(store), Some(put.clone())),
        ]
    };
    let before = service.get(&groups(STORE)).await.body;
    for ((method, theirs, body), (_, nobodys, _)) in cases(STORE).into_iter().zip(cases(NO_STORE)) {
        let statements = || (service.watch.read(), service.watch.written());
        let start = statements();
        let theirs = service
            .of_other(method.clone(), &theirs, body.as_ref())
            .await;
        let middle = statements();
        let nobodys = service
            .of_other(method.clone(), &nobodys, body.as_ref())
            .await;
        let end = statements();
        theirs.is(404, 520_041);
        assert_eq!(theirs.body, nobodys.body);
        let (first, second) = (
            (middle.0 - start.0, middle.1 - start.1),
            (end.0 - middle.0, end.1 - middle.1),
        );
        assert_eq!(first, second, "{method}: the same statements");
        assert_eq!(first.1, 0, "{method}: nothing written");
    }
    assert_eq!(service.get(&groups(STORE)).await.body, before);
    let path = format!("/v1/ControlPlane/Operations/{operation}");
    assert_eq!(service.get(&path).await.status, 200);
    let theirs = service.of_other(Method::GET, &path, None).await;
    let nobodys = format!("/v1/ControlPlane/Operations/{NO_OPERATION}");
    let nobodys = service.of_other(Method::GET, &nobodys, None).await;
    theirs.is(404, 520_052);
    assert_eq!(theirs.body, nobodys.body);
    let listed = service.of_other(Method::GET, STORES, None).await;
    assert_eq!(listed.body["stores"], json!([OTHER_STORE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_read_changes_no_definition() {
    let service = TestService::start().await;
    let written = service.watch.written();
    let paths = [
        store_path(STORE),
        groups(STORE),
        format!("{}/Contact", groups(STORE)),
        settings(STORE),
        STORES.to_owned(),
    ];
    for path in &paths {
        let read = service
            .bare(Method::GET, path)
            .basic_auth(READ_KEY, Some(KEY_SECRET));
        assert_eq!(Answered::of(read).await.status, 200, "{path}");
        Answered::of(service.bare(Method::GET, path))
            .await
            .is(401, 20003);
    }
    for (method, path) in [
        (Method::POST, &paths[4]),
        (Method::PATCH, &paths[0]),
        (Method::DELETE, &paths[0]),
        (Method::POST, &paths[1]),
        (Method::PATCH, &paths[2]),
        (Method::DELETE, &paths[2]),
        (Method::PUT, &paths[3]),
    ] {
        let write = service
            .bare(method, path)
            .basic_auth(READ_KEY, Some(KEY_SECRET));
        Answered::of(write.json(&json!({}))).await.is(403, 403);
    }
    assert_eq!(service.watch.written(), written);
}

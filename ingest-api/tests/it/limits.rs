//! Every limit of the contract (`memory-api.md` 4) at its edge: exactly so much is taken, one more is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, STORE, Setup, TestService, profiles};

/// One limit: what is sent for a number, the most (or least) that is taken, and the number beside it that is not.
struct Limit<'a> {
    what: &'a str,
    method: Method,
    path: &'a dyn Fn(usize) -> String,
    body: &'a dyn Fn(usize) -> Value,
    taken: usize,
    refused: usize,
}

/// A text of so many characters, of two bytes each.
fn text(chars: usize) -> String {
    "\u{e9}".repeat(chars)
}

fn word(chars: usize) -> String {
    "a".repeat(chars)
}

async fn holds(service: &TestService, limit: &Limit<'_>) {
    let Limit {
        what,
        method,
        path,
        body,
        ..
    } = limit;
    for (number, is_taken) in [(limit.refused, false), (limit.taken, true)] {
        let request = service.request(method.clone(), &path(number));
        let request = if *method == Method::GET {
            request
        } else {
            request.json(&body(number))
        };
        let answered = Answered::of(request).await;
        let is_expected = match is_taken {
            true => matches!(answered.status, 200 | 202),
            false => answered.status == 400,
        };
        assert!(is_expected, "{what}, {number}: {answered:?}");
    }
}

fn roomy() -> Setup {
    let mut setup = Setup::default();
    setup.limits.body_bytes_max = 4 << 20;
    setup.limits.bulk_bytes_max = 4 << 20;
    setup
}

/// A body with these traits of `Loyalty`, for somebody of its own.
fn of_loyalty(name: &str, value: Value) -> Value {
    json!({"traits": {"Contact": {"chatId": "c"}, "Loyalty": {(name): value}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn values_and_identifiers_are_taken_up_to_their_limits() {
    let service = TestService::start_with(roomy()).await;
    let profile = service.create(json!({"chatId": "c"})).await;
    let post = || Method::POST;
    let create = |_| profiles();
    let lookup = |_| format!("{}/Lookup", profiles());
    let identifiers = |_| format!("{}/{profile}/Identifiers", profiles());
    let limit = |what, path, body, taken, refused| Limit {
        what,
        method: post(),
        path,
        body,
        taken,
        refused,
    };
    let identifier = |n| json!({"idType": "chat", "value": text(n)});
    for limit in [
        limit(
            "a text",
            &create,
            &|n| of_loyalty("tier", text(n).into()),
            1024,
            1025,
        ),
        limit(
            "items",
            &create,
            &|n| of_loyalty("tags", vec![true; n].into()),
            100,
            101,
        ),
        limit(
            "an item",
            &create,
            &|n| of_loyalty("tags", json!([text(n)])),
            1024,
            1025,
        ),
        limit(
            "a number above",
            &create,
            &|n| of_loyalty("points", n.into()),
            2_147_483_647,
            2_147_483_648,
        ),
        limit(
            "a number below",
            &create,
            &|n| of_loyalty("points", (-i64::try_from(n).unwrap()).into()),
            2_147_483_648,
            2_147_483_649,
        ),
        limit(
            "an identifier in a trait",
            &create,
            &|n| json!({"traits": {"Contact": {"chatId": text(n)}}}),
            255,
            256,
        ),
        limit(
            "an identifier that is looked up",
            &lookup,
            &identifier,
            255,
            256,
        ),
        limit(
            "an identifier that is added",
            &identifiers,
            &identifier,
            255,
            256,
        ),
        limit(
            "a name of a type that is looked up, below",
            &lookup,
            &|n| json!({"idType": &"email"[..n], "value": "a@x"}),
            5,
            1,
        ),
    ] {
        holds(&service, &limit).await;
    }
    let filter = |n| format!("{}/{profile}?traitGroups={}", profiles(), word(n));
    let filtered = Limit {
        what: "a filter",
        method: Method::GET,
        path: &filter,
        body: &|_| Value::Null,
        taken: 256,
        refused: 257,
    };
    holds(&service, &filtered).await;
    let bulk = Limit {
        what: "items of a batch",
        method: Method::PUT,
        path: &|_| format!("{}/Bulk", profiles()),
        body: &|n| json!({"profiles": vec![json!({"traits": {"Contact": {"chatId": "c"}}}); n]}),
        taken: 1000,
        refused: 1001,
    };
    holds(&service, &bulk).await;
    holds(
        &service,
        &Limit {
            taken: 1,
            refused: 0,
            ..bulk
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_taken_up_to_their_limits() {
    let service = TestService::start_with(roomy()).await;
    let control = format!("/v1/ControlPlane/Stores/{STORE}");
    let store = |_| control.clone();
    let groups = |_| format!("{control}/TraitGroups");
    let loyalty = |_| format!("{control}/TraitGroups/Loyalty");
    let settings = |_| format!("{control}/IdentityResolutionSettings");
    let limit = |what, method, path, body, taken, refused| Limit {
        what,
        method,
        path,
        body,
        taken,
        refused,
    };
    let (post, patch, put) = (|| Method::POST, || Method::PATCH, || Method::PUT);
    let string = |description: String| json!({"dataType": "STRING", "description": description});
    // Names of one length differ by nothing: each is taken once.
    for limit in [
        limit(
            "a store's name",
            patch(),
            &store,
            &|n| json!({"displayName": word(n)}),
            64,
            65,
        ),
        limit(
            "a store's name, below",
            patch(),
            &store,
            &|n| json!({"displayName": word(n)}),
            1,
            0,
        ),
        limit(
            "its description",
            patch(),
            &store,
            &|n| json!({"description": text(n)}),
            128,
            129,
        ),
        limit(
            "its description, below",
            patch(),
            &store,
            &|n| json!({"description": text(n)}),
            1,
            0,
        ),
        limit(
            "a group's name",
            post(),
            &groups,
            &|n| json!({"displayName": word(n)}),
            64,
            65,
        ),
        limit(
            "a group's name, below",
            post(),
            &groups,
            &|n| json!({"displayName": word(n)}),
            1,
            0,
        ),
        limit(
            "its description",
            patch(),
            &loyalty,
            &|n| json!({"description": text(n)}),
            1024,
            1025,
        ),
        limit(
            "a trait's name",
            patch(),
            &loyalty,
            &|n| json!({"traits": {(word(n)): string(text(1))}}),
            64,
            65,
        ),
        limit(
            "its description",
            patch(),
            &loyalty,
            &|n| json!({"traits": {"tier": string(text(n))}}),
            1024,
            1025,
        ),
        limit(
            "a pattern",
            patch(),
            &loyalty,
            &|n| {
                let rule = json!({"ruleType": "STRING", "pattern": word(n)});
                json!({"traits": {"tier": {"dataType": "STRING", "validationRule": rule}}})
            },
            1000,
            1001,
        ),
        limit(
            "types",
            put(),
            &settings,
            &|n| with_types(n, &json!({})),
            15,
            16,
        ),
        limit(
            "types, below",
            put(),
            &settings,
            &|n| with_types(n, &json!({})),
            1,
            0,
        ),
        limit(
            "a type's name",
            put(),
            &settings,
            &|n| with_type(&word(n)),
            30,
            31,
        ),
        limit(
            "a type's name, below",
            put(),
            &settings,
            &|n| with_type(&word(n)),
            2,
            1,
        ),
        limit(
            "values of a type",
            put(),
            &settings,
            &|n| with_types(1, &json!({"limit": n})),
            100,
            101,
        ),
        limit(
            "values of a type, below",
            put(),
            &settings,
            &|n| with_types(1, &json!({"limit": n})),
            1,
            0,
        ),
        limit(
            "a threshold",
            put(),
            &settings,
            &|n| with_types(1, &json!({"matchingThreshold": n})),
            99,
            100,
        ),
        limit(
            "a threshold, below",
            put(),
            &settings,
            &|n| with_types(1, &json!({"matchingThreshold": n})),
            50,
            49,
        ),
    ] {
        holds(&service, &limit).await;
    }
}

fn with_type(name: &str) -> Value {
    json!({"identifierConfigs": [{"idType": name}], "matchingRules": [name]})
}

/// So many types, all of them in the rules.
fn with_types(count: usize, more: &Value) -> Value {
    let names: Vec<String> = (0..count).map(|n| format!("type{n}")).collect();
    let configs: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut config = more.clone();
            config["idType"] = json!(name);
            config
        })
        .collect();
    json!({"identifierConfigs": configs, "matchingRules": names})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_answers_with_the_first_hundred_owners_of_a_value() {
    let service = TestService::start().await;
    let control = format!("/v1/ControlPlane/Stores/{STORE}");
    let settings = format!("{control}/IdentityResolutionSettings");
    let mut types = service.get(&settings).await.body;
    let household = json!({"idType": "household", "enforceUnique": false});
    types["identifierConfigs"]
        .as_array_mut()
        .unwrap()
        .push(household);
    let request = service.request(Method::PUT, &settings).json(&types);
    assert_eq!(Answered::of(request).await.status, 202);
    let home = json!({"displayName": "Home", "traits": {
        "household": {"dataType": "STRING", "idTypePromotion": "household"}}});
    let made = service.post(&format!("{control}/TraitGroups"), &home).await;
    assert_eq!(made.status, 202, "{}", made.body);

    let mut owners = Vec::new();
    for n in 0..101 {
        let traits = json!({"Contact": {"chatId": format!("c{n}")}, "Home": {"household": "h"}});
        let created = service.post(&profiles(), &json!({"traits": traits})).await;
        assert_eq!(created.status, 202, "{}", created.body);
        owners.push(created.body["id"].as_str().unwrap().to_owned());
        if n == 99 {
            owners.sort();
            assert_eq!(service.lookup("household", "h").await, json!(owners));
        }
    }
    owners.sort();
    owners.truncate(100);
    assert_eq!(service.lookup("household", "h").await, json!(owners));
}

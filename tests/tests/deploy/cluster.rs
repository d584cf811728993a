//! What a real Kubernetes API server says of our objects. It knows more than schemas do: defaults, what has to go together, what a
//! namespace admits, and the kinds of other projects by their own definitions. Nothing runs behind it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Said, api_server};
use crate::lint::{DEFINED_ELSEWHERE, DEFINED_ELSEWHERE_IN_EXAMPLES};
use crate::objects::{OVERLAYS, Object, examples, of, parsed, rendered, the, yaml};

const APPLY: [&str; 3] = ["apply", "--filename", "-"];
const DRY_RUN: [&str; 4] = ["apply", "--dry-run=server", "--filename", "-"];
/// Whoever comes second with the same changes nothing.
const SETTLE: [&str; 5] = [
    "apply",
    "--server-side",
    "--force-conflicts",
    "--filename",
    "-",
];

/// A namespace to judge objects in, labelled as ours are. The account is what every namespace of a cluster has.
fn court(server: &ApiServer) -> Result<&'static str> {
    let name = "court";
    let objects = rendered("production")?;
    let mut namespace = the(&objects, "Namespace", "kith")?.value().clone();
    namespace["metadata"]["name"] = json!(name);
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": name },
    });
    let both = json!({ "apiVersion": "v1", "kind": "List", "items": [namespace, account] });
    server.takes(&SETTLE, &both.to_string())?;
    Ok(name)
}

/// The objects of an overlay as the server has them, but for what it counts and notes beside them.
fn standing(server: &ApiServer, text: &str) -> Result<Vec<Value>> {
    let said = server.takes(&["get", "--filename", "-", "--output", "json"], text)?;
    let mut list: Value = serde_json::from_str(&said)?;
    let items = list["items"].as_array_mut().context("no list")?;
    for item in items.iter_mut() {
        item["status"].take();
        for name in ["resourceVersion", "managedFields"] {
            item["metadata"][name].take();
        }
    }
    Ok(std::mem::take(items))
}

/// What the server says of an object in a namespace, which does not make it.
fn judged(server: &ApiServer, object: &Value, namespace: &str) -> Result<Said> {
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(namespace);
    server.asked(&DRY_RUN, &object.to_string())
}

/// The pod that a controller would make of an object's template.
fn pod(workload: &Object) -> Value {
    let template = workload.at("/spec/template");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": workload.name(),
            "namespace": workload.at("/metadata/namespace"),
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    })
}

#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn every_overlay_is_taken_dry_and_for_real_and_stays_as_it_is() -> Result<()> {
    let server = api_server()?;
    for overlay in OVERLAYS {
        let (text, objects) = (yaml(overlay)?, rendered(overlay)?);
        let mut namespaces = of(&objects, "Namespace");
        let namespace = namespaces.next().context("no namespace")?;
        // A dry run makes no namespace for the rest of it.
        server.takes(&APPLY, &namespace.value().to_string())?;
        let dry = server.takes(&DRY_RUN, &text)?;
        let made = server.takes(&APPLY, &text)?;
        for (said, word) in [(dry, "created (server dry run)"), (made, "created")] {
            let new = said.lines().filter(|line| line.ends_with(word)).count();
            ensure!(new == objects.len() - 1, "{overlay}: {said}");
        }
        // Not by the word of `kubectl`, which says `configured` also of a patch that repeats what is there.
        let first = standing(server, &text)?;
        ensure!(first.len() == objects.len(), "{overlay}: {first:?}");
        server.takes(&APPLY, &text)?;
        let second = standing(server, &text)?;
        for (before, after) in first.iter().zip(&second) {
            ensure!(before == after, "{overlay}: {before} is now {after}");
        }
        println!("{overlay}: {} objects", objects.len());
    }
    Ok(())
}

#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn the_pods_that_controllers_would_make_are_admitted_by_a_restricted_namespace() -> Result<()> {
    let server = api_server()?;
    let namespace = court(server)?;
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let is_workload = |object: &&Object| object.at("/spec/template/spec/containers").is_array();
        let workloads: Vec<_> = objects.iter().filter(is_workload).collect();
        ensure!(workloads.len() == 3, "{overlay}: {}", workloads.len());
        for workload in workloads {
            let account = workload.text("/spec/template/spec/serviceAccountName");
            let mut account = the(&objects, "ServiceAccount", account)?.value().clone();
            account["metadata"]["namespace"] = json!(namespace);
            server.takes(&SETTLE, &account.to_string())?;
            let said = judged(server, &pod(workload), namespace)?;
            ensure!(said.success && said.err.is_empty(), "{workload}: {said:?}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn a_pod_with_more_rights_is_refused_by_the_namespace() -> Result<()> {
    let server = api_server()?;
    let namespace = court(server)?;
    let objects = rendered("production")?;
    let mut pod = pod(the(&objects, "Deployment", "trait-worker")?);
    pod["spec"]["serviceAccountName"] = json!("default");
    let admitted = judged(server, &pod, namespace)?;
    ensure!(admitted.success, "{admitted:?}");
    let container = "/spec/containers/0/securityContext";
    for (pointer, wrong, because) in [
        (container, json!({ "privileged": true }), "privileged"),
        (container, json!({}), "allowPrivilegeEscalation != false"),
        (
            "/spec/securityContext",
            json!({ "runAsUser": 0 }),
            "runAsUser=0",
        ),
        (
            "/spec/securityContext/seccompProfile",
            Value::Null,
            "seccompProfile",
        ),
        (
            "/spec/volumes",
            json!([{ "name": "host", "hostPath": { "path": "/" } }]),
            "hostPath",
        ),
    ] {
        let mut pod = pod.clone();
        *pod.pointer_mut(pointer).context("nothing there")? = wrong;
        if pointer == "/spec/volumes" {
            pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
        }
        let said = judged(server, &pod, namespace)?;
        let refused = said
            .err
            .contains("violates PodSecurity \"restricted:latest\"");
        ensure!(
            !said.success && refused && said.err.contains(because),
            "{because}: {said:?}"
        );
    }
    // Whoever makes pods of a template is not refused, but warned, and overlays are taken without a warning.
    let mut deployment = the(&objects, "Deployment", "trait-worker")?.value().clone();
    let profile = "/spec/template/spec/securityContext/seccompProfile";
    *deployment.pointer_mut(profile).context("no profile")? = Value::Null;
    let said = judged(server, &deployment, namespace)?;
    let warning = "Warning: would violate PodSecurity \"restricted:latest\": seccompProfile";
    ensure!(said.success && said.err.contains(warning), "{said:?}");
    Ok(())
}

#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn a_misspelt_field_is_refused_in_every_kind() -> Result<()> {
    let server = api_server()?;
    let namespace = court(server)?;
    let mut seen = BTreeSet::new();
    for object in rendered("production")? {
        let kind = object.versioned_kind();
        if object.kind() == "Namespace" || !seen.insert(kind.clone()) {
            continue;
        }
        let said = judged(server, object.value(), namespace)?;
        ensure!(said.success, "{object}: {said:?}");
        let mut wrong = object.value().clone();
        // A map's keys are nobody's fields, and an account has nothing else.
        let within = if wrong["spec"].is_object() {
            &mut wrong["spec"]
        } else {
            &mut wrong
        };
        within["misspelt"] = json!("1");
        let said = judged(server, &wrong, namespace)?;
        let refused = said.err.contains("unknown field") && said.err.contains("misspelt");
        ensure!(!said.success && refused, "{kind}: {said:?}");
    }
    for kind in DEFINED_ELSEWHERE {
        ensure!(seen.contains(kind), "{kind} was not asked about");
    }
    println!("refused in each of {} kinds", seen.len());
    Ok(())
}

/// Each of these passes the schemas of `make test`, or has none there.
#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn what_does_not_go_together_is_refused() -> Result<()> {
    let server = api_server()?;
    let namespace = court(server)?;
    let objects = rendered("production")?;
    let limit = "/spec/template/spec/containers/0/resources/limits/memory";
    for (kind, name, pointer, wrong, because) in [
        (
            "Deployment",
            "ingest-api",
            limit,
            json!("1Mi"),
            "must be less than or equal to memory limit",
        ),
        (
            "Deployment",
            "ingest-api",
            "/spec/template/spec/containers/0/volumeMounts/0/name",
            json!("nothing"),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found",
        ),
        (
            "HTTPRoute",
            "ingest-api",
            "/spec/rules/0/timeouts/backendRequest",
            json!("20s"),
            "backendRequest timeout cannot be longer than request timeout",
        ),
        (
            "Gateway",
            "kith",
            "/spec/listeners/0/port",
            json!(0),
            "greater than or equal to 1",
        ),
        (
            "ScaledObject",
            "trait-worker",
            "/spec/maxReplicaCount",
            json!("24"),
            "must be of type integer",
        ),
        (
            "ServiceMonitor",
            "kith",
            "/spec/endpoints/0/interval",
            json!("15"),
            "should match",
        ),
    ] {
        let mut object = the(&objects, kind, name)?.value().clone();
        *object.pointer_mut(pointer).context("nothing there")? = wrong;
        let said = judged(server, &object, namespace)?;
        ensure!(
            !said.success && said.err.contains(because),
            "{kind} {pointer}: {said:?}"
        );
    }
    Ok(())
}

/// The examples for other operators are asked about, too, so that the list is not longer or shorter than it should be.
#[test]
#[ignore = "needs an API server: `make verify-deploy`"]
fn exactly_the_objects_whose_definitions_nobody_has_stay_unchecked() -> Result<()> {
    let server = api_server()?;
    let objects = parsed(&examples()?)?;
    for namespace in of(&objects, "Namespace") {
        server.takes(&APPLY, &namespace.value().to_string())?;
    }
    let mut unchecked = BTreeSet::new();
    for object in &objects {
        let said = server.asked(&DRY_RUN, &object.value().to_string())?;
        if !said.success {
            ensure!(
                said.err.contains("no matches for kind"),
                "{object}: {said:?}"
            );
            println!("unchecked: {object}, {}", object.text("/apiVersion"));
            unchecked.insert(object.versioned_kind());
        }
    }
    let expected = DEFINED_ELSEWHERE_IN_EXAMPLES.map(str::to_owned);
    ensure!(unchecked == BTreeSet::from(expected), "{unchecked:?}");
    Ok(())
}

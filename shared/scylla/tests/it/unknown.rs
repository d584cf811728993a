//! A conditional statement whose answer is lost: unknown, never refused; and sent again, it finds itself.

use std::time::{Duration, Instant};

use kith_domain::id::ClaimId;
use kith_profiles::ports::{Conditional, Outcome};
use kith_scylla::{Cql, CqlConfig};

use crate::harness::{profile, with_cql};
use crate::identity::{attempt, claim, claim_key, claim_of};
use crate::proxy::Proxy;

/// A second connection, over a link of its own.
async fn behind_proxy(config: &CqlConfig) -> (Cql, Proxy) {
    let proxy = Proxy::start(&config.nodes[0]);
    let config = CqlConfig {
        nodes: vec![proxy.address.to_string()],
        ..config.clone()
    };
    (Cql::connect(&config).await.unwrap(), proxy)
}

/// Sends again until there is an answer, as a use case does.
async fn send_again(cql: &Cql, statement: &Conditional) -> Outcome {
    let start = Instant::now();
    loop {
        match attempt(cql, statement).await {
            Outcome::Unknown => {}
            outcome @ (Outcome::Applied | Outcome::Refused(_)) => return outcome,
        }
        assert!(start.elapsed() < Duration::from_secs(30), "still unknown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn found_itself(outcome: Outcome, id: ClaimId) -> bool {
    matches!(outcome, Outcome::Refused(standing) if standing.claim_id == Some(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_too_late_is_unknown_and_the_same_statement_finds_itself() {
    with_cql(async |direct, config| {
        if config.nodes.len() > 1 {
            return; // Other nodes are found and asked past the proxy.
        }
        let (cql, proxy) = behind_proxy(&config).await;
        let key = claim_key();
        let (statement, row) = claim(key, None, profile());

        proxy.hold_answers();
        let start = Instant::now();
        assert_eq!(attempt(&cql, &statement).await, Outcome::Unknown);
        assert!(
            start.elapsed() >= Duration::from_secs(2),
            "gave up before the server would"
        );
        assert_eq!(
            claim_of(&direct, key).await,
            Some(row),
            "it was applied all the same"
        );

        proxy.pass();
        assert!(found_itself(send_again(&cql, &statement).await, row.id));
        assert_eq!(claim_of(&cql, key).await, Some(row));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_unknown_and_the_same_statement_finds_itself() {
    with_cql(async |direct, config| {
        if config.nodes.len() > 1 {
            return;
        }
        let (cql, proxy) = behind_proxy(&config).await;
        let key = claim_key();
        let (statement, row) = claim(key, None, profile());

        proxy.cut_at_answer();
        let start = Instant::now();
        assert_eq!(attempt(&cql, &statement).await, Outcome::Unknown);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "a broken link is noticed at once"
        );
        // No connection at all: nothing was tried, and still nobody calls it refused.
        assert_eq!(attempt(&cql, &statement).await, Outcome::Unknown);
        assert_eq!(claim_of(&direct, key).await, Some(row));

        proxy.pass();
        assert!(found_itself(send_again(&cql, &statement).await, row.id));
    })
    .await;
}

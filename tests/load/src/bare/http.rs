//! HTTP: the same bytes in, parsed as JSON, and an answer of the same size out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::step_loop::closed_loop;
use kith_tests::wire::Connection;

const ANSWER: &str = "mem_profile_00000000000000000000000000";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Server {
    /// Starts one on a free port of loopback. Within a tokio runtime.
    pub(super) fn start() -> Result<Self> {
        let server = HttpServer::new(|| App::new().default_service(web::to(answer)))
            .disable_signals()
            .bind("127.0.0.1:0")?;
        let address = *server.addrs().first().context("an address")?;
        let mut serving = JoinSet::new();
        serving.spawn(server.run());
        Ok(Self {
            address,
            _serving: serving,
        })
    }

    /// Where it answers.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one request for so long; how many are answered a second.
    pub(super) async fn measure(
        &self,
        at_once: usize,
        limit: Duration,
        request: &[u8],
    ) -> Result<f64> {
        let mut connections = Vec::new();
        for _ in 0..at_once {
            connections.push(Connection::open(self.address).await?);
        }
        let request: Arc<[u8]> = request.into();
        let done = closed_loop(connections, limit, move |mut connection| {
            let request = Arc::clone(&request);
            async move {
                ask(&mut connection, &request).await?;
                Ok((connection, Some(())))
            }
        });
        Ok(done.await?.rate())
    }
}

/// Sends a request, and looks at its answer.
pub(super) async fn ask(connection: &mut Connection, request: &[u8]) -> Result<()> {
    let (status, body) = connection.send(request).await?;
    let answer: Value = serde_json::from_slice(&body)?;
    ensure!(
        status == 202 && answer["id"] == ANSWER,
        "{status}: {answer}"
    );
    Ok(())
}

async fn answer(body: web::Bytes) -> HttpResponse {
    if is_create(&body) {
        accepted(ANSWER)
    } else {
        HttpResponse::BadRequest().finish()
    }
}

/// Parses a body; whether it is one of a create.
#[must_use]
pub fn is_create(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|parsed| parsed["traits"].is_object())
}

/// The answer to a create.
#[must_use]
pub fn accepted(id: &str) -> HttpResponse {
    let message = "Profile accepted for processing.";
    HttpResponse::Accepted().json(json!({ "message": message, "id": id }))
}

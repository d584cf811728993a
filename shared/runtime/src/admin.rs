//! The operator's server: `/livez`, `/readyz` and `/metrics`, on an address of its own.
//!
//! Not for the public, and not behind authentication: it tells names of components and numbers, nothing about tenants.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::{Data, get};
use actix_web::{App, HttpResponse, HttpServer};

use crate::config::{ConfigError, Settings, table::ADMIN_LISTEN};
use crate::health::Health;
use crate::lifecycle::{ComponentError, Shutdown};
use crate::metrics::Metrics;
use crate::net;

/// How often histograms are folded, scraped or not, so that their samples do not pile up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The operator's server, bound and not yet serving.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
}

impl AdminServer {
    /// Binds `KITH_ADMIN_LISTEN`.
    ///
    /// # Errors
    /// Names the setting.
    pub fn bind(
        settings: &Settings,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        let listener = net::bind(settings, &ADMIN_LISTEN)?;
        let address = listener
            .local_addr()
            .map_err(|error| settings.refuse(&ADMIN_LISTEN, error))?;
        Ok(Self {
            listener,
            address,
            health,
            metrics,
        })
    }

    /// Where it listens: the port that was chosen if the setting says 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the stage is shut down. In the last stage, so that it answers while the others drain.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), ComponentError> {
        let metrics = self.metrics.clone();
        let server = self.build()?;
        let upkeep = async {
            let mut every = tokio::time::interval(UPKEEP_EVERY);
            loop {
                every.tick().await;
                metrics.upkeep();
            }
        };
        tokio::select! {
            ended = net::serve(server, shutdown) => ended,
            never = upkeep => never,
        }
    }

    fn build(self) -> Result<Server, ComponentError> {
        let health = Data::new(self.health);
        let metrics = Data::new(self.metrics);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(health.clone())
                .app_data(metrics.clone())
                .route("/livez", get().to(livez))
                .route("/readyz", get().to(readyz))
                .route("/metrics", get().to(scrape))
        });
        let server = server
            .workers(1)
            .max_connections(64)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(self.listener)?;
        Ok(server.run())
    }
}

async fn livez(health: Data<Health>) -> HttpResponse {
    let liveness = health.liveness();
    if liveness.alive {
        HttpResponse::Ok().json(liveness)
    } else {
        HttpResponse::ServiceUnavailable().json(liveness)
    }
}

async fn readyz(health: Data<Health>) -> HttpResponse {
    let readiness = health.readiness();
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

async fn scrape(metrics: Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics.render())
}

//! What a team would write instead of Kith: one service on PostgreSQL, for the benchmark to measure. Nothing here is shipped.
//!
//! It answers what the load sends and what its correctness is judged by: Create, Fetch, List and Lookup of profiles whose
//! traits are those of `Contact`. It keeps no log of events and has no traces, no limits and no control plane, all of which
//! cost Kith something. An identifier is unique by its primary key, a create that merges nobody is one round trip, and one
//! that merges is a serializable transaction.
//!
//! Start reading at `schema.sql`, which is where the work is done, then `database`.

mod contact;
mod database;
mod routes;

use std::net::SocketAddr;
use std::path::PathBuf;

use actix_web::web::Data;
use actix_web::{App, HttpServer};
use anyhow::Result;
use clap::Parser;
use futures_util::future::try_join;

use crate::database::Database;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long connections may stay at the end.
const SHUTDOWN_SECONDS: u64 = 1;

/// Profiles on PostgreSQL.
#[derive(Debug, Clone, Parser)]
#[command(name = "kith-baseline-postgres")]
struct Settings {
    /// Where requests are answered.
    #[arg(long)]
    listen: SocketAddr,

    /// Where the operator asks: `/readyz` and `/metrics`.
    #[arg(long, env = "KITH_ADMIN_LISTEN")]
    admin_listen: SocketAddr,

    /// The folder of the database's socket.
    #[arg(long)]
    socket: PathBuf,

    /// The database's user.
    #[arg(long, default_value = "postgres")]
    user: String,

    /// Connections to the database, of all workers together.
    #[arg(long, default_value_t = 16)]
    pool: usize,

    /// Threads that answer requests, each with its part of the connections.
    #[arg(long, default_value_t = 2)]
    workers: usize,

    /// Prepare each statement anew whenever it is used.
    #[arg(long)]
    unprepared: bool,
}

#[actix_web::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let (workers, share) = (settings.workers, settings.pool.div_ceil(settings.workers));
    let database = Database::of(&settings, share)?;
    database.make().await?;
    // A pool for each worker: no request waits for a thread that is not its own.
    let of_worker = database.clone();
    let app = move || {
        let database = Data::new(of_worker.another());
        App::new().app_data(database).configure(routes::public)
    };
    let public = HttpServer::new(app)
        .workers(workers)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(settings.listen)?;
    let statistics = Data::new(database);
    let admin = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&statistics))
            .configure(routes::admin)
    });
    let admin = admin
        .workers(1)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(settings.admin_listen)?;
    try_join(public.run(), admin.run()).await?;
    Ok(())
}

//! The limit of whoever answers from the disk of one machine: a request is read and parsed, its bytes are appended to a file, and it is
//! answered once they are synced, with one sync for all who wait for it. Nobody is found, and nothing is kept but those bytes.

#![expect(
    clippy::print_stderr,
    reason = "why a run of the benchmark ends goes into the process's log"
)]

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Result;
use clap::Parser;
use futures_util::future::try_join;
use kith_domain::id::ProfileId;
use kith_load::bare::{accepted, is_create};
use tokio::sync::oneshot;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long connections may stay at the end.
const SHUTDOWN_SECONDS: u64 = 1;

/// Appends what it is sent, and syncs it.
#[derive(Debug, Parser)]
#[command(name = "kith-bare-disk")]
struct Settings {
    /// Where requests are answered.
    #[arg(long)]
    listen: SocketAddr,

    /// Where the operator asks: `/readyz` and `/metrics`.
    #[arg(long, env = "KITH_ADMIN_LISTEN")]
    admin_listen: SocketAddr,

    /// The file, which is not there yet.
    #[arg(long)]
    file: PathBuf,
}

/// Bytes, and who waits for them.
struct Append {
    bytes: Bytes,
    synced: oneshot::Sender<()>,
}

/// What a request needs.
#[derive(Clone)]
struct Disk {
    appends: Sender<Append>,
    answers: Arc<AtomicU64>,
}

#[actix_web::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let file = File::create_new(&settings.file)?;
    let (appends, waiting) = channel();
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    std::thread::spawn(move || {
        // No request is answered any more then, and the run ends with that.
        if let Err(error) = append(file, &waiting, &counted) {
            eprintln!("the file: {error}");
        }
    });

    let disk = Disk {
        appends,
        answers: Arc::default(),
    };
    let app = move || {
        let disk = Data::new(disk.clone());
        App::new().app_data(disk).default_service(web::to(answer))
    };
    let public = HttpServer::new(app)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(settings.listen)?;
    let admin = HttpServer::new(move || {
        App::new()
            .app_data(Data::from(Arc::clone(&syncs)))
            .route("/readyz", web::get().to(HttpResponse::Ok))
            .route("/metrics", web::get().to(metrics))
    });
    let admin = admin
        .workers(1)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(settings.admin_listen)?;
    try_join(public.run(), admin.run()).await?;
    Ok(())
}

/// Appends what waits, syncs it, and tells whoever waits for it, again and again.
fn append(mut file: File, waiting: &Receiver<Append>, syncs: &AtomicU64) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while let Ok(first) = waiting.recv() {
        let mut told = Vec::new();
        bytes.clear();
        for one in [first].into_iter().chain(waiting.try_iter()) {
            bytes.extend_from_slice(&one.bytes);
            told.push(one.synced);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        syncs.fetch_add(1, Ordering::Relaxed);
        for synced in told {
            // Somebody who has gone changes nothing.
            synced.send(()).ok();
        }
    }
    Ok(())
}

async fn answer(body: Bytes, disk: Data<Disk>) -> HttpResponse {
    if !is_create(&body) {
        return HttpResponse::BadRequest().finish();
    }
    let (synced, told) = oneshot::channel();
    let sent = disk.appends.send(Append {
        bytes: body,
        synced,
    });
    if sent.is_err() || told.await.is_err() {
        return HttpResponse::InternalServerError().finish();
    }
    let number = disk.answers.fetch_add(1, Ordering::Relaxed);
    let id = ProfileId::from_uuid(Uuid::from_u128(number.into()));
    accepted(&id.to_string())
}

async fn metrics(syncs: Data<AtomicU64>) -> String {
    format!("bare_disk_syncs_total {}\n", syncs.load(Ordering::Relaxed))
}

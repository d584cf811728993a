//! The server: binding apart from running, and the end of it.
//!
//! Signals belong to the lifecycle. When it ends the stage, the server goes on for a moment, in which whoever balances learns that
//! this process is not ready. Then it accepts no more, answers what comes on the connections that are there, saying
//! `Connection: close`, closes those that stay silent, and is gone when the last answer is written.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::Server;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use kith_runtime::tls::ListenerTls;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tracing_actix_web::TracingLogger;

use crate::answer::answer;
use crate::app::{App, Service};
use crate::haste::{Haste, Told};
use crate::public::Documents;
use crate::rate::RateLimit;
use crate::redirect::Origin;
use crate::routes::configure;
use crate::span::{HttpSpan, carry};
use crate::wire::Wire;

/// How long a connection may be silent between requests: longer than the minute after which balancers close theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a client to close after an answer that leaves its body unread.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connections are accepted at the end. One that comes just when the server stops is lost, and the request on it: whoever
/// balances is to connect elsewhere by then, and nobody is told to connect anew before.
const ACCEPTED_AT_END: Duration = Duration::from_millis(500);
/// How long after that answers begin to end their connections: whoever connects anew is refused by then, and not lost.
const ENDED_AFTER: Duration = Duration::from_millis(20);
/// How long silent connections are kept open at the end: a request may be on its way.
const SILENT_AT_END: Duration = Duration::from_millis(1_500);
/// Connections of one worker at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 8_192;

/// The service cannot be served at this listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve at the listener")]
pub struct BindError(#[source] io::Error);

/// A service at its address. Connections are taken from here on, and answered once it is served.
pub struct Bound {
    server: Server,
    local: SocketAddr,
    is_ending: Arc<AtomicBool>,
    close_silent: watch::Sender<bool>,
}

/// Binds a service to a listener, which speaks TLS if there is a certificate to show. Within a tokio runtime.
///
/// # Errors
/// [`BindError`].
pub fn bind<E: Environment<Database: Definitions>>(
    service: Service<E>,
    listener: TcpListener,
    tls: Option<&ListenerTls>,
) -> Result<Bound, BindError> {
    listener.set_nonblocking(true).map_err(BindError)?;
    let local = listener.local_addr().map_err(BindError)?;
    // Whatever is worked on is answered within the deadline; the rest is for writing and closing.
    let longest = service.limits.request_deadline + SILENT_AT_END + DISCONNECT_TIMEOUT;
    let rate = service.limits.rate.map(RateLimit::new);
    let documents = Documents::new(service.public_url.as_deref());
    let origin = Origin {
        scheme: if tls.is_some() { "https" } else { "http" },
        address: local,
    };
    let acceptor = tls.map(ListenerTls::acceptor);
    let is_ending = Arc::new(AtomicBool::new(false));
    let data = Data::new(App {
        service,
        origin,
        rate,
        haste: Haste::new(),
        documents,
        is_ending: Arc::clone(&is_ending),
    });
    let (close_silent, closing) = watch::channel(false);
    let factory = move || {
        let (data, closing, acceptor) = (data.clone(), closing.clone(), acceptor.clone());
        let app = actix_web::App::new()
            .app_data(data)
            .configure(configure::<E>)
            // The last that is added is the outermost.
            .wrap(from_fn(answer::<E>))
            .wrap(TracingLogger::<HttpSpan>::new())
            .wrap(from_fn(carry))
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .graceful_shutdown_signal(move || silence_ends(closing.clone()))
            .on_connect_ext(|_: &Wire<Connection>, connection| {
                connection.insert(Told::default());
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                let peer = io.peer_addr().ok();
                let io = connected(io, acceptor).await.map_err(DispatchError::Io)?;
                Ok((Wire::new(io), Protocol::Http1, peer))
            }
        })
        .and_then(http)
    };
    let server = Server::build()
        .max_concurrent_connections(CONNECTIONS_MAX)
        .disable_signals()
        .shutdown_timeout(longest.as_secs() + 1)
        .listen("api", listener, factory)
        .map_err(BindError)?
        .run();
    Ok(Bound {
        server,
        local,
        is_ending,
        close_silent,
    })
}

/// A connection as requests come over it.
type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

async fn connected(io: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Connection> {
    // Answers are small and written whole: there is nothing to wait for.
    io.set_nodelay(true)?;
    let Some(acceptor) = acceptor else {
        return Ok(Either::Left(io));
    };
    let shaken = timeout(HEAD_TIMEOUT, acceptor.accept(io)).await?;
    Ok(Either::Right(Box::new(shaken?)))
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bound").field(&self.local).finish()
    }
}

async fn silence_ends(mut closing: watch::Receiver<bool>) {
    // An error means that nobody is left to say it: the server is gone.
    let _ended = closing.wait_for(|closing| *closing).await.is_ok();
}

impl Bound {
    /// Where it listens: the port that was chosen if it was bound to 0.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` is over and everything after it, or until the server fails.
    ///
    /// Say [`Health::set_draining`](kith_runtime::health::Health::set_draining) before: whoever balances goes by it. The
    /// lifecycle does.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self {
            mut server,
            is_ending,
            close_silent,
            ..
        } = self;
        tokio::select! {
            ended = &mut server => return ended,
            () = shutdown => {}
        }
        tokio::select! {
            ended = &mut server => return ended,
            () = tokio::time::sleep(ACCEPTED_AT_END) => {}
        }
        let handle = server.handle();
        // The server has to be driven while it stops.
        let stopped = async { tokio::join!(server, handle.stop(true)) };
        tokio::pin!(stopped);
        tokio::select! {
            (ended, ()) = &mut stopped => return ended,
            () = tokio::time::sleep(ENDED_AFTER) => {}
        }
        is_ending.store(true, Ordering::Relaxed);
        tokio::select! {
            (ended, ()) = &mut stopped => return ended,
            () = tokio::time::sleep(SILENT_AT_END - ACCEPTED_AT_END - ENDED_AFTER) => {}
        }
        close_silent.send_replace(true);
        let (ended, ()) = stopped.await;
        ended
    }
}

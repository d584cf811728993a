//! A TCP proxy that can misbehave: between a client and a real server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::accept::Acceptor;
use crate::poll::until;

/// What the proxy does with what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets everything pass.
    Forward,
    /// Lets everything pass, late.
    Delay(Duration),
    /// So many bytes a second pass, each way of each connection.
    Throttle(u32),
    /// Requests pass, answers do not: connections stay open and silent.
    SwallowAnswers,
    /// Answers pass, requests do not.
    SwallowRequests,
    /// So many chunks of requests pass, of all connections together, and their answers; no request after them.
    PassRequests(u64),
    /// So many bytes of answers pass, of all connections together; then the connection is reset in the middle of one.
    CutAnswersAfter(u64),
    /// Nothing passes; connections stay open and silent, new ones are taken.
    BlackHole,
    /// Connections are cut, and new ones are refused at once.
    Cut,
    /// Connections are reset, and new ones, too.
    Reset,
}

impl Mode {
    /// Whether nobody has a connection.
    fn is_away(self) -> bool {
        matches!(self, Self::Cut | Self::Reset)
    }

    /// How much may pass before the fault begins.
    fn allowance(self) -> u64 {
        match self {
            Self::PassRequests(amount) | Self::CutAnswersAfter(amount) => amount,
            _ => 0,
        }
    }
}

/// What a proxy did to what passed.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    requests: AtomicU64,
    swallowed: AtomicU64,
    disturbed: AtomicU64,
    cut: AtomicU64,
    /// What may yet pass.
    allowance: AtomicU64,
}

impl Counts {
    fn disturb(&self) {
        self.disturbed.fetch_add(1, Ordering::Relaxed);
    }

    fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
        self.disturb();
    }

    /// Takes from what may yet pass; how much there was.
    fn take(&self, wanted: u64) -> u64 {
        let taken = self
            .allowance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(wanted))
            });
        taken.unwrap_or_default().min(wanted)
    }
}

/// One connection more, for as long as this is there.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    acceptor: Acceptor,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Starts a proxy on a free port of loopback, in front of `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?, upstream).await
    }

    /// Starts a proxy on `listen`, in front of `upstream`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start_on(listen: SocketAddr, upstream: SocketAddr) -> Result<Self> {
        // A proxy that was just dropped gives its address back a moment later.
        let listener = until(Duration::from_secs(10), "the proxy's address", || async {
            Ok(Some(TcpListener::bind(listen).await?))
        })
        .await?;
        let (mode, watch) = watch::channel(Mode::Forward);
        let counts = Arc::new(Counts::default());
        let count = Arc::clone(&counts);
        let acceptor = Acceptor::on(listener, move |client| {
            serve(client, upstream, watch.clone(), Arc::clone(&count))
        })?;
        Ok(Self {
            acceptor,
            mode,
            counts,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// What happens from now on, to open connections too.
    pub fn set(&self, mode: Mode) {
        let allowance = &self.counts.allowance;
        self.mode.send_modify(|now| {
            allowance.store(mode.allowance(), Ordering::Relaxed);
            *now = mode;
        });
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// How many chunks of requests came so far, passed or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// How many chunks were kept back so far: proof that a fault was injected.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.counts.swallowed.load(Ordering::Relaxed)
    }

    /// How many connections were cut, reset or refused so far.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.counts.cut.load(Ordering::Relaxed)
    }

    /// How many chunks were late or kept back, and connections cut, reset or refused, so far.
    #[must_use]
    pub fn disturbed(&self) -> u64 {
        self.counts.disturbed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Cut);
    }
}

async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    watch: watch::Receiver<Mode>,
    count: Arc<Counts>,
) {
    let now = *watch.borrow();
    if now.is_away() {
        count.cut();
        if now == Mode::Reset {
            drop(client.set_zero_linger());
        }
        return;
    }
    if let Ok(server) = TcpStream::connect(upstream).await {
        drop(server.set_nodelay(true));
        relay(client, server, watch, count).await;
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    watch: watch::Receiver<Mode>,
    count: Arc<Counts>,
) {
    let _open = Open::new(&count);
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let mut away = watch.clone();
    let here = Notify::new();
    let one_way = |is_request| Way {
        mode: watch.clone(),
        count: Arc::clone(&count),
        cut: &here,
        is_request,
    };
    let (there, back) = (one_way(true), one_way(false));
    let both = async {
        tokio::join!(
            there.copy(&mut client_read, &mut server_write),
            back.copy(&mut server_read, &mut client_write),
        )
    };
    let is_reset = tokio::select! {
        _ = both => return,
        () = here.notified() => true,
        mode = away.wait_for(|mode| mode.is_away()) => mode.is_ok_and(|mode| *mode == Mode::Reset),
    };
    count.cut();
    if is_reset {
        for stream in [
            client_read.reunite(client_write),
            server_read.reunite(server_write),
        ] {
            // In one piece it ends without a polite word: what is not sent yet is thrown away, and the other side hears of a
            // reset.
            drop(stream.map(|stream| stream.set_zero_linger()));
        }
    }
}

/// One of a connection's two ways.
struct Way<'a> {
    mode: watch::Receiver<Mode>,
    count: Arc<Counts>,
    cut: &'a Notify,
    is_request: bool,
}

impl Way<'_> {
    async fn copy(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            if self.is_request {
                self.count.requests.fetch_add(1, Ordering::Relaxed);
            }
            let now = *self.mode.borrow();
            let pass = match now {
                Mode::Forward => read,
                Mode::Delay(by) => {
                    self.count.disturb();
                    tokio::time::sleep(by).await;
                    read
                }
                Mode::Throttle(rate) => {
                    self.count.disturb();
                    let seconds = read as f64 / f64::from(rate.max(1));
                    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                    read
                }
                Mode::SwallowAnswers if self.is_request => read,
                Mode::SwallowRequests if !self.is_request => read,
                Mode::PassRequests(_) if !self.is_request || self.count.take(1) == 1 => read,
                Mode::CutAnswersAfter(_) if self.is_request => read,
                Mode::CutAnswersAfter(_) => {
                    let allowed = self.count.take(read as u64);
                    usize::try_from(allowed).unwrap_or(read)
                }
                Mode::SwallowAnswers
                | Mode::SwallowRequests
                | Mode::PassRequests(_)
                | Mode::BlackHole => return self.swallow().await,
                Mode::Cut | Mode::Reset => return,
            };
            if to.write_all(&buffer[..pass]).await.is_err() {
                break;
            }
            if pass < read {
                self.cut.notify_one();
                return;
            }
        }
        drop(to.shutdown().await);
    }

    /// What was kept back is gone for good: a stream with a hole in it would be garbage.
    async fn swallow(&self) {
        self.count.swallowed.fetch_add(1, Ordering::Relaxed);
        self.count.disturb();
        let mut mode = self.mode.clone();
        drop(mode.wait_for(|mode| mode.is_away()).await);
    }
}

#[cfg(test)]
mod tests;

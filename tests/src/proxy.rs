//! A TCP proxy that can misbehave: between a client and a real server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::poll::until;

/// What the proxy does with what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets everything pass.
    Forward,
    /// Lets everything pass, late.
    Delay(Duration),
    /// Requests pass, answers do not: connections stay open and silent.
    SwallowAnswers,
    /// Nothing passes; connections stay open and silent, new ones are taken.
    BlackHole,
    /// Connections are cut, and new ones are refused at once.
    Cut,
}

/// What a proxy did to what passed.
#[derive(Debug, Default)]
struct Counts {
    swallowed: AtomicU64,
    disturbed: AtomicU64,
}

impl Counts {
    fn disturb(&self) {
        self.disturbed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
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
        let address = listener.local_addr()?;
        let (mode, watch) = watch::channel(Mode::Forward);
        let counts = Arc::new(Counts::default());
        let count = Arc::clone(&counts);
        let task = tokio::task::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (watch, count) = (watch.clone(), Arc::clone(&count));
                tokio::task::spawn(async move {
                    if *watch.borrow() == Mode::Cut {
                        count.disturb();
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(upstream).await {
                        drop(client.set_nodelay(true));
                        drop(server.set_nodelay(true));
                        relay(client, server, watch, count).await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            mode,
            counts,
            task,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on, to open connections too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many chunks were kept back so far: proof that a fault was injected.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.counts.swallowed.load(Ordering::Relaxed)
    }

    /// How many chunks were late or kept back, and connections cut or refused, so far.
    #[must_use]
    pub fn disturbed(&self) -> u64 {
        self.counts.disturbed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.mode.send_replace(Mode::Cut);
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    watch: watch::Receiver<Mode>,
    count: Arc<Counts>,
) {
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut cut = watch.clone();
    let both = async {
        tokio::join!(
            copy(
                client_read,
                server_write,
                watch.clone(),
                Arc::clone(&count),
                true
            ),
            copy(server_read, client_write, watch, Arc::clone(&count), false),
        )
    };
    tokio::select! {
        _ = both => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => count.disturb(),
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
    count: Arc<Counts>,
    is_request: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let now = *mode.borrow();
        match now {
            Mode::Forward => {}
            Mode::Delay(by) => {
                count.disturb();
                tokio::time::sleep(by).await;
            }
            Mode::SwallowAnswers if is_request => {}
            // What was kept back is gone for good: a stream with a hole in it would be garbage.
            Mode::SwallowAnswers | Mode::BlackHole => {
                count.swallowed.fetch_add(1, Ordering::Relaxed);
                count.disturb();
                let mut mode = mode.clone();
                drop(mode.wait_for(|mode| *mode == Mode::Cut).await);
                return;
            }
            Mode::Cut => return,
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

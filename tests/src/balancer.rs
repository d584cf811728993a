//! A small TCP balancer, as a Service of Kubernetes is one: each new connection goes to the next process that says that it is
//! ready, and stays there. Whoever becomes unready is sent nothing new, and keeps the connections that it has.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::accept::Acceptor;
use crate::poll::until;

/// How often each process is asked whether it is ready, and how long it may take to say so.
const ASKED_EVERY: Duration = Duration::from_millis(50);
const ASKED_FOR: Duration = Duration::from_millis(500);
/// How long [`Balancer::ready`] waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process behind it.
#[derive(Debug)]
struct Backend {
    listen: SocketAddr,
    admin: SocketAddr,
    is_ready: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    backends: Mutex<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    carried: AtomicU64,
    passed_over: AtomicU64,
    turned_away: AtomicU64,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Backend>>) -> T) -> T {
        change(&mut self.backends.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_ready(backend: &Arc<Backend>) -> bool {
        backend.is_ready.load(Ordering::Relaxed)
    }

    /// Those that are ready, whose turn it is first.
    fn in_turn(&self) -> Vec<Arc<Backend>> {
        let ready = |backends: &mut Vec<Arc<Backend>>| {
            let ready = backends.iter().filter(|one| Self::is_ready(one));
            ready.cloned().collect()
        };
        let mut ready: Vec<Arc<Backend>> = self.change(ready);
        if !ready.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let first = turn % ready.len();
            ready.rotate_left(first);
        }
        ready
    }

    /// Connects a client with the first that takes it. Nothing of it was read until then, so whoever refuses is passed over.
    async fn carry(&self, mut client: TcpStream) {
        for backend in self.in_turn() {
            let Ok(mut server) = TcpStream::connect(backend.listen).await else {
                self.passed_over.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.carried.fetch_add(1, Ordering::Relaxed);
            drop(server.set_nodelay(true));
            // However it ends, both ends see it.
            drop(copy_bidirectional(&mut client, &mut server).await);
            return;
        }
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }
}

/// A running balancer. Dropping it ends it.
#[derive(Debug)]
pub struct Balancer {
    acceptor: Acceptor,
    shared: Arc<Shared>,
    client: reqwest::Client,
}

impl Balancer {
    /// Starts one on a free port of loopback, with nobody behind it.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_all = Arc::clone(&shared);
        let acceptor = Acceptor::start(move |client| {
            let shared = Arc::clone(&of_all);
            async move { shared.carry(client).await }
        })
        .await?;
        let client = reqwest::Client::builder()
            .timeout(ASKED_FOR)
            .no_proxy()
            .build()?;
        Ok(Self {
            acceptor,
            shared,
            client,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// One more process, which gets connections while `/readyz` of its operator's address says so.
    pub fn add(&self, listen: SocketAddr, admin: SocketAddr) {
        let backend = Arc::new(Backend {
            listen,
            admin,
            is_ready: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&backend);
        self.shared.change(|backends| backends.push(backend));
        tokio::task::spawn(watch(watched, self.client.clone()));
    }

    /// Forgets a process, whose addresses may be another's from now on.
    pub fn remove(&self, listen: SocketAddr) {
        self.shared
            .change(|backends| backends.retain(|one| one.listen != listen));
    }

    /// Waits until so many are ready.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn ready(&self, count: usize) -> Result<()> {
        until(PATIENCE, &format!("{count} are ready"), || async {
            let ready = self.shared.change(|backends| {
                let ready = backends.iter().filter(|one| Shared::is_ready(one));
                ready.count()
            });
            Ok((ready == count).then_some(()))
        })
        .await
    }

    /// Connections that it carried.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// Connections that a process refused and another one was asked to take.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.shared.passed_over.load(Ordering::Relaxed)
    }

    /// Connections that nobody took.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.change(Vec::clear);
    }
}

/// Asks a process whether it is ready, until it is forgotten.
async fn watch(backend: Weak<Backend>, client: reqwest::Client) {
    while let Some(backend) = backend.upgrade() {
        let answer = client
            .get(format!("http://{}/readyz", backend.admin))
            .send()
            .await;
        let is_ready = answer.is_ok_and(|answer| answer.status().as_u16() == 200);
        backend.is_ready.store(is_ready, Ordering::Relaxed);
        drop(backend);
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A process that says its name to whoever connects, and again for each byte that it is sent.
    struct Named {
        serving: Acceptor,
        operator: Acceptor,
        is_ready: Arc<AtomicBool>,
    }

    impl Named {
        fn is_behind(&self, balancer: &Balancer) {
            balancer.add(self.serving.address(), self.operator.address());
        }
    }

    async fn named(name: u8) -> Named {
        let serving = Acceptor::start(move |mut stream| async move {
            while stream.write_all(&[name]).await.is_ok() {
                if stream.read(&mut [0]).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        });
        let is_ready = Arc::new(AtomicBool::new(true));
        let answers = Arc::clone(&is_ready);
        let operator = Acceptor::start(move |mut stream| {
            let status = match answers.load(Ordering::Relaxed) {
                true => 200,
                false => 503,
            };
            let answer =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            async move {
                let mut head = [0; 1024];
                if stream.read(&mut head).await.is_ok() {
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            }
        });
        Named {
            serving: serving.await.unwrap(),
            operator: operator.await.unwrap(),
            is_ready,
        }
    }

    async fn name(stream: &mut TcpStream) -> u8 {
        stream.read_u8().await.unwrap()
    }

    async fn connect(balancer: &Balancer) -> TcpStream {
        TcpStream::connect(balancer.address()).await.unwrap()
    }

    #[tokio::test]
    async fn connections_go_to_the_ready_in_turn_and_stay_where_they_are() {
        let balancer = Balancer::start().await.unwrap();
        let (one, two) = (named(b'1').await, named(b'2').await);
        one.is_behind(&balancer);
        two.is_behind(&balancer);
        balancer.ready(2).await.unwrap();
        let (mut first, mut second) = (connect(&balancer).await, connect(&balancer).await);
        let mut names = [name(&mut first).await, name(&mut second).await];
        let of_first = names[0];
        names.sort_unstable();
        assert_eq!(&names, b"12");

        let (unready, other) = match of_first {
            b'1' => (&one, b'2'),
            _ => (&two, b'1'),
        };
        unready.is_ready.store(false, Ordering::Relaxed);
        balancer.ready(1).await.unwrap();
        for _ in 0..4 {
            assert_eq!(name(&mut connect(&balancer).await).await, other);
        }
        first.write_all(b"?").await.unwrap();
        assert_eq!(name(&mut first).await, of_first);
        assert_eq!(balancer.turned_away(), 0);
    }

    #[tokio::test]
    async fn whoever_refuses_is_passed_over_and_without_anybody_the_client_is_turned_away() {
        let balancer = Balancer::start().await.unwrap();
        let (one, two) = (named(b'1').await, named(b'2').await);
        one.is_behind(&balancer);
        two.is_behind(&balancer);
        balancer.ready(2).await.unwrap();
        let gone = one.serving.address();
        drop(one.serving);
        until(Duration::from_secs(5), "it refuses", || async {
            Ok(TcpStream::connect(gone).await.is_err().then_some(()))
        })
        .await
        .unwrap();
        for _ in 0..2 {
            assert_eq!(name(&mut connect(&balancer).await).await, b'2');
        }
        assert_eq!((balancer.passed_over(), balancer.carried()), (1, 2));

        balancer.remove(gone);
        balancer.remove(two.serving.address());
        let mut nobody = connect(&balancer).await;
        assert_eq!(nobody.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(balancer.turned_away(), 1);
    }
}

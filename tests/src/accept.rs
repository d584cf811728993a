//! A listener with a task for each connection.

use std::future::Future;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A listener that takes whoever comes. Dropping it ends it; connections that it took go on.
#[derive(Debug)]
pub struct Acceptor {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Acceptor {
    /// Listens on a free port of loopback, and serves each connection in a task of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Result<Self>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await?, serve)
    }

    /// The same with a listener that is there.
    ///
    /// # Errors
    /// When nobody knows where it listens.
    pub fn on<S>(
        listener: TcpListener,
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Result<Self>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let task = tokio::task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // What is sent in small pieces is not to wait for more.
                drop(stream.set_nodelay(true));
                tokio::task::spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

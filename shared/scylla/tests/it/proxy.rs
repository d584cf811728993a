//! A link to a node that can be held or cut. Threads and blocking sockets: it must not depend on the runtime under test.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PASS: u8 = 0;
const HOLD_ANSWERS: u8 = 1;
const CUT_AT_ANSWER: u8 = 2;

/// Forwards connections to one node.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<AtomicU8>,
    links: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn start(node: &str) -> Self {
        let node: SocketAddr = node.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            mode: Arc::default(),
            links: Arc::default(),
        };
        let (mode, links) = (Arc::clone(&proxy.mode), Arc::clone(&proxy.links));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(node) else {
                    continue;
                };
                for link in [&client, &server] {
                    link.set_nodelay(true).unwrap();
                    links.lock().unwrap().push(link.try_clone().unwrap());
                }
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let mode = Arc::clone(&mode);
                std::thread::spawn(move || copy(client, server, &AtomicU8::new(PASS)));
                std::thread::spawn(move || copy(ends.1, ends.0, &mode));
            }
        });
        proxy
    }

    /// Requests get through, answers wait.
    pub(crate) fn hold_answers(&self) {
        self.mode.store(HOLD_ANSWERS, Ordering::SeqCst);
    }

    /// Requests get through, and a connection is cut when an answer comes.
    pub(crate) fn cut_at_answer(&self) {
        self.mode.store(CUT_AT_ANSWER, Ordering::SeqCst);
    }

    /// What waits goes on.
    pub(crate) fn pass(&self) {
        self.mode.store(PASS, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for link in self.links.lock().unwrap().drain(..) {
            link.shutdown(Shutdown::Both).ok();
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while mode.load(Ordering::SeqCst) == HOLD_ANSWERS {
            pause();
        }
        if mode.load(Ordering::SeqCst) == CUT_AT_ANSWER {
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, outside every clock that a test may set"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

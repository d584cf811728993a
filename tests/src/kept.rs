//! A caller over one kept connection who knows how far each request came: what a client may send again by itself is told apart
//! from what was sent whole on an open connection and never answered.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

use crate::wire::{Answer, Connection};

/// How long an answer may take: longer than a service lets it.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of requests and connections.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were answered, whatever the answer says.
    pub answered: u64,
    /// Of these, those whose answer said that the connection ends with it.
    pub last: u64,
    /// Connections that were refused: nothing was sent.
    pub refused: u64,
    /// Kept connections that the other side had ended in a silence: nothing was sent on them.
    pub ended: u64,
    /// Connections that broke before a request was sent whole.
    pub broken: u64,
    /// Requests that were sent whole on an open connection and not answered, each with what came instead.
    pub unanswered: Vec<String>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.last += other.last;
        self.refused += other.refused;
        self.ended += other.ended;
        self.broken += other.broken;
        self.unanswered.extend(other.unanswered);
    }
}

/// A caller of one address.
#[derive(Debug)]
pub struct Kept {
    to: SocketAddr,
    connection: Option<Connection>,
    /// What became of what it sent.
    pub tally: Tally,
}

impl Kept {
    /// A caller without a connection yet.
    #[must_use]
    pub fn new(to: SocketAddr) -> Self {
        Self {
            to,
            connection: None,
            tally: Tally::default(),
        }
    }

    /// Sends a request once, on the connection that is there or on a new one, and counts what becomes of it.
    pub async fn send(&mut self, request: &[u8]) -> Option<Answer> {
        let mut connection = self.connect().await?;
        if connection.put(request).await.is_err() {
            self.tally.broken += 1;
            return None;
        }
        let answer = match tokio::time::timeout(LIMIT, connection.answer()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.tally.unanswered.push(format!("{error:#}"));
                return None;
            }
            Err(_) => {
                let nothing = format!("nothing in {LIMIT:?}");
                self.tally.unanswered.push(nothing);
                return None;
            }
        };
        self.tally.answered += 1;
        if answer.is_last {
            self.tally.last += 1;
        } else {
            self.connection = Some(connection);
        }
        Some(answer)
    }

    /// Closes its connection: the next request has a new one.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    async fn connect(&mut self) -> Option<Connection> {
        if let Some(kept) = self.connection.take() {
            if !kept.has_ended() {
                return Some(kept);
            }
            self.tally.ended += 1;
        }
        let opened = Connection::open(self.to).await;
        self.tally.refused += u64::from(opened.is_err());
        opened.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    /// Reads one request, and answers it with this.
    async fn answer(connection: &mut TcpStream, answer: &[u8]) {
        let mut request = [0; REQUEST.len()];
        connection.read_exact(&mut request).await.unwrap();
        connection.write_all(answer).await.unwrap();
    }

    #[tokio::test]
    async fn what_becomes_of_a_request_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = Kept::new(listener.local_addr().unwrap());
        let serve = async {
            // Two on one connection, which is then ended in a silence.
            let (mut one, _) = listener.accept().await.unwrap();
            answer(&mut one, ANSWER).await;
            answer(&mut one, ANSWER).await;
            drop(one);
            // One whose answer is the last.
            let (mut two, _) = listener.accept().await.unwrap();
            answer(&mut two, LAST).await;
            // One that is read whole and not answered, and one that is answered in part.
            let (mut three, _) = listener.accept().await.unwrap();
            answer(&mut three, b"").await;
            drop(three);
            let (mut four, _) = listener.accept().await.unwrap();
            answer(&mut four, &ANSWER[..ANSWER.len() - 1]).await;
            drop(four);
            drop(listener);
        };
        let call = async {
            for body in [&b"ok"[..], b"ok"] {
                assert_eq!(caller.send(REQUEST).await.unwrap().body, body);
            }
            while !caller.connection.as_ref().unwrap().has_ended() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(caller.send(REQUEST).await.unwrap().is_last);
            assert!(caller.send(REQUEST).await.is_none());
            assert!(caller.send(REQUEST).await.is_none());
        };
        tokio::join!(serve, call);
        assert!(caller.send(REQUEST).await.is_none());
        let told = caller.tally;
        assert_eq!((told.answered, told.last, told.ended), (3, 1, 1));
        assert_eq!((told.refused, told.broken), (1, 0));
        assert_eq!(told.unanswered.len(), 2, "{:?}", told.unanswered);
    }
}

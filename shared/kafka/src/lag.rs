//! How far behind the group is, as last looked up.
//!
//! The library's statistics know it, too, but only as of the last fetch; and a consumer that is paused because its database
//! is down, when the lag is what everybody looks at, fetches nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use crate::rebalance::Client;

/// For one question to a broker.
const LIMIT: Duration = Duration::from_secs(2);

type Board = Arc<Mutex<BTreeMap<i32, u64>>>;

/// The thread that looks it up, and what it found.
pub(crate) struct LagWatch {
    board: Board,
    thread: Thread,
}

impl LagWatch {
    /// Starts the thread. It ends by itself when the client is gone.
    pub(crate) fn start(client: &Arc<Client>, interval: Duration) -> io::Result<Self> {
        let board = Board::default();
        let (weak, ours) = (Arc::downgrade(client), Arc::clone(&board));
        let handle = thread::Builder::new()
            .name("kith-log-lag".to_owned())
            .spawn(move || watch(&weak, &ours, interval))?;
        Ok(Self {
            board,
            thread: handle.thread().clone(),
        })
    }

    /// Looks soon, and not only after the interval.
    pub(crate) fn hurry(&self) {
        self.thread.unpark();
    }

    /// What was found last.
    pub(crate) fn latest(&self) -> BTreeMap<i32, u64> {
        self.board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for LagWatch {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

fn watch(client: &Weak<Client>, board: &Board, interval: Duration) {
    loop {
        thread::park_timeout(interval);
        let Some(client) = client.upgrade() else {
            return;
        };
        if client.context().inbox.closing() {
            return;
        }
        match look(&client) {
            Ok(found) => *board.lock().unwrap_or_else(PoisonError::into_inner) = found,
            // The client's own errors say more; what was found before stays.
            Err(error) => tracing::debug!(%error, "lag not found"),
        }
    }
}

fn look(client: &Client) -> KafkaResult<BTreeMap<i32, u64>> {
    let topic = &client.context().topic;
    let mut found = BTreeMap::new();
    for element in client.committed(LIMIT)?.elements_for_topic(topic) {
        let partition = element.partition();
        let (low, high) = client.fetch_watermarks(topic, partition, LIMIT)?;
        let committed = match element.offset() {
            Offset::Offset(committed) => committed.max(low),
            // Nothing yet: all of it.
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => low,
        };
        found.insert(partition, u64::try_from(high - committed).unwrap_or(0));
    }
    Ok(found)
}

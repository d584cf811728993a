//! The thread that serves the client library: its queue of events, and its end.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::ClientFailed;
use crate::inbox::{Due, Inbox};
use crate::rebalance::{self, Client};

/// How long the thread waits for one event, and so how late it sees that it should end.
const POLL: Duration = Duration::from_millis(100);

/// How often the last offsets are tried while the group rebalances, a [`POLL`] apart.
const PARTING_TRIES: u32 = 20;

/// Starts the thread. It ends when the inbox is closed, and then leaves the group and drops the client.
pub(crate) fn start(client: Arc<Client>, owner_silence_max: Duration) -> io::Result<()> {
    let inbox = Arc::clone(&client.context().inbox);
    thread::Builder::new()
        .name("kith-log-poll".to_owned())
        .spawn(move || {
            let dying = Dying(Arc::clone(&inbox));
            serve(&client, &inbox, owner_silence_max);
            drop(dying);
            leave(client, &inbox);
        })
        .map(drop)
}

/// Whoever waits for events must not wait for ever if the thread panics.
struct Dying(Arc<Inbox>);

impl Drop for Dying {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .fatal(Arc::new(ClientFailed("the polling thread died".to_owned())));
        }
    }
}

fn serve(client: &Client, inbox: &Inbox, owner_silence_max: Duration) {
    let mut silent = false;
    while !inbox.closing() {
        // The library throws out a consumer that does not poll, and it is us who poll. An owner that hangs must not keep
        // its partitions for ever, so we hang with it.
        if inbox.silent_for() > owner_silence_max {
            if !silent {
                tracing::error!("nobody takes events any more: leaving the group to the others");
            }
            silent = true;
            thread::park_timeout(POLL);
            continue;
        }
        silent = false;
        match client.poll(POLL) {
            None => {}
            Some(Err(error)) => report(inbox, error),
            // All partitions have queues of their own; to drop this one silently would be to lose it.
            Some(Ok(_)) => inbox.fatal(Arc::new(ClientFailed(
                "a record outside of its partition's queue".to_owned(),
            ))),
        }
    }
}

/// Passes on what the owner can act on.
pub(crate) fn report(inbox: &Inbox, error: KafkaError) {
    if let KafkaError::MessageConsumptionFatal(_) = error {
        inbox.fatal(Arc::new(error));
        return;
    }
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fatal) => inbox.fatal(Arc::new(error)),
        // One broker of several, or a link that was idle for long: the library connects again by itself. The context has
        // counted it. And who polled too late hears of it as a loss.
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::PollExceeded,
        ) => {}
        None | Some(_) => inbox.trouble(Arc::new(error)),
    }
}

/// Sends what was stored, answers what is due, leaves the group. Each may wait for a broker; nobody waits for this thread
/// longer than he said.
fn leave(client: Arc<Client>, inbox: &Inbox) {
    // From here on the callback answers by itself, so what is due now stays the last.
    let due = inbox.take_due();
    let mut sent = send_stored(&client);
    answer(&client, due);
    // In the middle of a rebalance the broker counts a generation that we are only about to hear of.
    for _ in 0..PARTING_TRIES {
        let Err(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress) = sent
        else {
            break;
        };
        if let Some(Err(error)) = client.poll(POLL) {
            tracing::debug!(%error, "client error while leaving");
        }
        sent = send_stored(&client);
    }
    if let Err(error) = sent {
        tracing::warn!(%error, "the last offsets could not be sent; records will be repeated");
        inbox.parted(Arc::new(error));
    }
    drop(last(client));
}

fn send_stored(client: &Client) -> Result<(), RDKafkaErrorCode> {
    match client.commit_consumer_state(CommitMode::Sync) {
        Ok(()) => Ok(()),
        Err(error) => match error.rdkafka_error_code() {
            // Nothing to send; or nothing that is still ours to send.
            Some(RDKafkaErrorCode::NoOffset | RDKafkaErrorCode::AssignmentLost) => Ok(()),
            code => Err(code.unwrap_or(RDKafkaErrorCode::Fail)),
        },
    }
}

fn answer(client: &Client, due: Option<Due>) {
    let topic = &client.context().topic;
    let answered = match due {
        None => Ok(()),
        Some(Due::Assign(partitions)) => rebalance::assign(client, topic, &partitions),
        Some(Due::Revoke(partitions)) => rebalance::unassign(client, topic, &partitions),
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a change of ownership was not answered before leaving");
    }
}

/// Waits until nobody else uses the client: the last one to drop it waits for the broker, and must not be a thread of the
/// runtime.
fn last(mut client: Arc<Client>) -> Client {
    loop {
        match Arc::try_unwrap(client) {
            Ok(client) => return client,
            Err(shared) => client = shared,
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

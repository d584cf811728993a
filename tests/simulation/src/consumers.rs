//! The shipped worker over the ports of a run, put together as the mains do.

use std::time::Duration;

use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{
    DeadLetter, DeadLetters, Lag, LogEvent, NextOffset, Partition, TraitSource,
};
use trait_worker::{Backoff, Settings, Worker};

use crate::executor::Executor;
use crate::ports::{Port, Shared, lock};
use crate::world::{Reply, Statement};

/// Clients from here on are workers.
pub const FIRST: usize = 900;

/// Short waits: a step of a run is a millisecond.
fn settings() -> Settings {
    Settings {
        retry: Backoff {
            first: Duration::from_millis(2),
            max: Duration::from_millis(8),
        },
        hand_back: Duration::from_millis(60),
        drain: Duration::from_millis(200),
        tick: Duration::from_millis(5),
        ..Settings::default()
    }
}

/// Starts the worker with this number, which is no other's; returns its task.
pub fn start(world: &Shared, executor: &mut Executor, member: usize) -> usize {
    let port = Port::of(world, FIRST + member);
    lock(world).topic.join(member);
    let source = Source {
        port: port.clone(),
        member,
    };
    let worker = Worker::new(
        source,
        port.clone(),
        port.clone(),
        port.clone(),
        port.clone(),
        settings(),
    );
    executor.spawn(async move {
        let stop = async {
            port.one(Statement::Stop).await;
        };
        if let Err(error) = worker.run(stop).await {
            let finding = format!("a worker ended by itself: {error}");
            lock(port.world()).topic.findings.push(finding);
        }
    })
}

/// The log of one worker.
#[derive(Debug)]
struct Source {
    port: Port,
    member: usize,
}

/// A consumer that is gone owns nothing, however it went.
impl Drop for Source {
    fn drop(&mut self) {
        lock(self.port.world()).topic.leave(self.member);
    }
}

impl TraitSource for Source {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        loop {
            self.port.one(Statement::Fetch(self.member)).await;
            // Only here, so that nothing is lost if nobody waits for it any more.
            if let Some(event) = lock(self.port.world()).topic.event(self.member) {
                return Ok(event);
            }
        }
    }

    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        let mut world = lock(self.port.world());
        let Some(done) = world.topic.commit(self.member, offsets) else {
            return Err(PortError::Unavailable {
                operation: "commit",
                cause: None,
            });
        };
        for record in done {
            if !world.is_done(&record) {
                let at = (record.partition, record.offset);
                let finding = format!("{at:?} is committed and not done");
                world.topic.findings.push(finding);
            }
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        lock(self.port.world())
            .topic
            .pause(self.member, partitions, true);
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        lock(self.port.world())
            .topic
            .pause(self.member, partitions, false);
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.port.one(Statement::Sleep).await;
        lock(self.port.world())
            .topic
            .release(self.member, partitions);
        Ok(())
    }

    fn lag(&self) -> Vec<Lag> {
        lock(self.port.world()).topic.lag(self.member)
    }

    async fn close(self, _: Duration) -> Result<(), PortError> {
        lock(self.port.world()).topic.flush(self.member);
        Ok(())
    }
}

impl DeadLetters for Port {
    async fn bury(&self, letter: DeadLetter) -> Result<(), PublishError> {
        let (partition, offset) = (letter.record.partition, letter.record.offset);
        if self.one(Statement::Bury(partition, offset)).await == Reply::Done {
            Ok(())
        } else {
            Err(PublishError::Unavailable(None))
        }
    }
}

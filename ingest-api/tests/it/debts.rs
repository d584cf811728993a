//! What a process that died left of a deletion is done by whoever comes next.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::OperationStatus;
use kith_domain::store::StoreBody;
use kith_domain::time::Micros;
use kith_embedded::{Embedded, EmbeddedLog, Options};
use kith_profiles::Profiles;
use kith_profiles::definitions::Ending;
use kith_profiles::environment::{Environment as _, Parts};
use kith_profiles::error::ClockUnsound;
use kith_profiles::ports::{AccountWrite, Clock, Definitions, Ids as _, Written};
use kith_profiles::retries::RetryBudget;
use kith_runtime::clock::{SystemClock, SystemIds};
use tempfile::TempDir;

use crate::harness::ACCOUNT;
use crate::watched::{Mode, Watch, WatchedLog};

/// The system's clock, ahead by a while; its sleeps take no time.
#[derive(Debug, Clone)]
struct Ahead {
    clock: SystemClock,
    by: Duration,
}

impl Clock for Ahead {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        Ok(self.clock.now()?.plus(self.by))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

type Process = Profiles<Parts<Embedded, WatchedLog<EmbeddedLog>, Ahead, SystemIds>>;

/// One database, and processes on it that come one after another.
struct World {
    database: Embedded,
    watch: Arc<Watch>,
    account: AccountSid,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let options = Options::new(directory.path(), Arc::new(|| Micros::from_micros(1)));
        Self {
            database: Embedded::open(options).unwrap(),
            watch: Watch::new(),
            account: ACCOUNT.parse().unwrap(),
            _directory: directory,
        }
    }

    fn process(&self, seconds_ahead: u64) -> Process {
        Profiles::new(Parts {
            database: self.database.clone(),
            log: WatchedLog {
                inner: self.database.log(),
                watch: Arc::clone(&self.watch),
            },
            clock: Ahead {
                clock: SystemClock::new(),
                by: Duration::from_secs(seconds_ahead),
            },
            ids: SystemIds,
            retries: RetryBudget::default(),
        })
    }

    async fn store(&self, process: &Process) -> StoreId {
        let body = StoreBody {
            display_name: Some("shop".to_owned()),
            description: None,
        };
        let deadline = process.environment().deadline_in(Duration::from_secs(5));
        let created = process.create_store(&self.account, &body, deadline).await;
        created.unwrap().unwrap();
        process.stores_of(&self.account).await.unwrap()[0]
    }

    async fn delete(&self, process: &Process, store: StoreId) -> Ending {
        let deadline = process.environment().deadline_in(Duration::from_secs(5));
        let deleted = process.delete_store(&self.account, store, deadline).await;
        deleted.unwrap().unwrap()
    }

    async fn status(&self, operation: OperationId) -> OperationStatus {
        let found = self.database.operation(&self.account, operation).await;
        found.unwrap().unwrap().status
    }

    async fn owes_nothing(&self) -> bool {
        self.database
            .account(&self.account)
            .await
            .unwrap()
            .stores
            .is_empty()
    }
}

#[tokio::test]
async fn the_process_of_the_deletion_asks_for_the_purge() {
    let world = World::new();
    let process = world.process(0);
    let store = world.store(&process).await;
    let ending = world.delete(&process, store).await;
    assert_eq!(
        world.status(ending.operation).await,
        OperationStatus::Running
    );
    assert_eq!(world.watch.published(), 0);
    let longest = Duration::from_secs(5);
    process.finish_deletion(&ending, longest).await.unwrap();
    assert_eq!(world.watch.published(), 1);
    assert_eq!(
        world.status(ending.operation).await,
        OperationStatus::Completed
    );
    assert!(world.owes_nothing().await);
    // Twice is once more, and harmless.
    process.finish_deletion(&ending, longest).await.unwrap();
    assert!(world.owes_nothing().await);
}

#[tokio::test]
async fn a_debt_of_a_dead_process_is_paid_when_it_is_old_and_met() {
    for seconds in [0, 61] {
        for how in ["start", "list", "create", "operation"] {
            let world = World::new();
            let process = world.process(0);
            let store = world.store(&process).await;
            let ending = world.delete(&process, store).await;
            drop(process);

            let next = world.process(seconds);
            match how {
                "start" => {
                    let again = next.finish_deletions(&world.account).await.unwrap();
                    assert_eq!(again.is_none(), seconds > 60, "{again:?}");
                    assert!(again.is_none_or(|wait| wait <= Duration::from_secs(60)));
                }
                "list" => assert!(next.stores_of(&world.account).await.unwrap().is_empty()),
                "create" => assert_ne!(world.store(&next).await, store),
                _ => {
                    let found = next.operation(&world.account, ending.operation).await;
                    let is_paid = found.unwrap().unwrap().status == OperationStatus::Completed;
                    assert_eq!(is_paid, seconds > 60);
                }
            }
            let is_old = seconds > 60;
            assert_eq!(world.watch.published(), usize::from(is_old), "{how}");
            let status = world.status(ending.operation).await;
            assert_eq!(status == OperationStatus::Completed, is_old, "{how}");
        }
    }
}

#[tokio::test]
async fn a_debt_that_cannot_be_paid_holds_nobody_up_and_stays() {
    let world = World::new();
    let process = world.process(0);
    let store = world.store(&process).await;
    let ending = world.delete(&process, store).await;
    world.watch.set_log(Mode::Down);
    let next = world.process(61);
    assert!(next.finish_deletions(&world.account).await.is_err());
    assert!(next.stores_of(&world.account).await.unwrap().is_empty());
    assert!(!world.owes_nothing().await);
    world.watch.set_log(Mode::Up);
    next.stores_of(&world.account).await.unwrap();
    assert!(world.owes_nothing().await);
    assert_eq!(
        world.status(ending.operation).await,
        OperationStatus::Completed
    );
}

#[tokio::test]
async fn a_debt_of_a_store_that_was_not_deleted_is_struck_out() {
    let world = World::new();
    let process = world.process(0);
    let store = world.store(&process).await;
    let known = world.database.account(&world.account).await.unwrap();
    let mut row = known.stores[0].clone();
    row.ending = Some(OperationId::from_uuid(SystemIds.profile().as_uuid()));
    let write = AccountWrite {
        account: world.account.clone(),
        expected: known.revision,
        revision: SystemIds.random(),
        row,
    };
    let written = world.database.write_account(&write).await.unwrap();
    assert_eq!(written, Written::Applied);

    let next = world.process(61);
    let again = next.finish_deletions(&world.account).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(world.watch.published(), 0);
    assert_eq!(next.stores_of(&world.account).await.unwrap(), [store]);
    let known = world.database.account(&world.account).await.unwrap();
    assert_eq!(known.stores[0].ending, None);
    // A deletion that is repeated in time goes on with what was announced.
    let ending = world.delete(&next, store).await;
    next.finish_deletion(&ending, Duration::ZERO).await.unwrap();
    assert!(world.owes_nothing().await);
}

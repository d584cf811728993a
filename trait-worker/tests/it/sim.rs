//! An executor that polls one worker and one scenario on this thread, and a clock that moves only when both wait.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ::metrics::with_local_recorder;
use kith_domain::id::ProfileId;
use kith_domain::time::Micros;
use kith_profiles::error::ClockUnsound;
use kith_profiles::ports::{Clock, Ids};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use trait_worker::{Backoff, Settings, Summary, Worker, WorkerError};
use uuid::Uuid;

use crate::database::Database;
use crate::letters::Letters;
use crate::log::{Log, Source};

/// The wall clock at the start of every test.
pub(crate) const START: Micros = Micros::from_micros(1_700_000_000_000_000);
/// What a test may take, on its own clock.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A clock that the executor moves.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestClock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    now: Duration,
    unsound: bool,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    ids: u64,
}

impl TestClock {
    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_unsound(&self, unsound: bool) {
        self.time().unsound = unsound;
    }

    fn moment_after(&self, duration: Duration) -> (Duration, u64) {
        let mut time = self.time();
        time.ids += 1;
        (time.now + duration, time.ids)
    }

    /// To the next moment that somebody waits for.
    fn advance(&self) {
        let mut time = self.time();
        let ((at, _), waker) = time
            .sleepers
            .pop_first()
            .expect("nothing can happen any more: the worker and the scenario wait for each other");
        time.now = time.now.max(at);
        assert!(time.now < LONGEST, "the test takes too long");
        waker.wake();
    }
}

impl Clock for TestClock {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        let time = self.time();
        if time.unsound {
            return Err(ClockUnsound);
        }
        Ok(START.plus(time.now))
    }

    fn monotonic(&self) -> Duration {
        self.time().now
    }

    async fn sleep(&self, duration: Duration) {
        let key = self.moment_after(duration);
        Sleep { clock: self, key }.await;
    }
}

struct Sleep<'a> {
    clock: &'a TestClock,
    key: (Duration, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.time();
        if time.now >= self.key.0 {
            return Poll::Ready(());
        }
        time.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.clock.time().sleepers.remove(&self.key);
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ids that are counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestIds(Arc<Mutex<u128>>);

impl Ids for TestIds {
    fn profile(&self) -> ProfileId {
        panic!("a worker makes no profiles")
    }

    fn random(&self) -> Uuid {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        Uuid::from_u128((0xffff << 112) | *count)
    }
}

/// A worker over the doubles.
pub(crate) type TestWorker = Worker<Source, Database, Letters, TestClock, TestIds>;

/// The world of one test.
pub(crate) struct Sim {
    pub(crate) clock: TestClock,
    pub(crate) log: Log,
    pub(crate) database: Database,
    pub(crate) letters: Letters,
    pub(crate) ids: TestIds,
    pub(crate) settings: Settings,
    shutdown: Cell<bool>,
    recorder: PrometheusRecorder,
}

/// How a run ended.
pub(crate) struct Ended(Result<Summary, WorkerError>);

impl Ended {
    /// The summary of a worker that ended as it was told to, its books checked.
    #[track_caller]
    pub(crate) fn summary(&self) -> Summary {
        let summary = *self.0.as_ref().expect("the worker ends well");
        let ended = summary.applied + summary.dead_lettered + summary.abandoned;
        assert_eq!(ended, summary.read, "{summary:?}");
        summary
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &WorkerError {
        self.0.as_ref().expect_err("the worker stops")
    }
}

impl Sim {
    pub(crate) fn new() -> Self {
        // Somebody listens in every thread. Else a span first met where nobody does may be taken for one that nobody wants
        // anywhere, and the tests that look at spans would find none.
        static LISTENER: Once = Once::new();
        LISTENER.call_once(|| {
            let listener = tracing_subscriber::registry();
            ::tracing::subscriber::set_global_default(listener).unwrap();
        });
        let clock = TestClock::default();
        let database = Database::new(clock.clone());
        let letters = Letters::default();
        Self {
            log: Log::new(clock.clone(), database.clone(), letters.clone()),
            clock,
            database,
            letters,
            ids: TestIds::default(),
            settings: Settings {
                retry: Backoff {
                    first: Duration::from_millis(100),
                    max: Duration::from_secs(5),
                },
                ..Settings::default()
            },
            shutdown: Cell::new(false),
            recorder: PrometheusBuilder::new().build_recorder(),
        }
    }

    /// Runs a worker beside a scenario. The worker is told to end when the scenario says so, or is over.
    pub(crate) fn run<'s, F>(&'s self, scenario: impl FnOnce(&'s Self) -> F) -> Ended
    where
        F: Future<Output = ()> + 's,
    {
        self.run_worker(self.worker(), scenario)
    }

    /// The same with a worker of the test's own.
    pub(crate) fn run_worker<'s, F>(
        &'s self,
        worker: TestWorker,
        scenario: impl FnOnce(&'s Self) -> F,
    ) -> Ended
    where
        F: Future<Output = ()> + 's,
    {
        self.shutdown.set(false);
        Ended(with_local_recorder(&self.recorder, || {
            self.block_on(worker, scenario(self))
        }))
    }

    /// A worker over the ports of this world.
    pub(crate) fn worker(&self) -> TestWorker {
        Worker::new(
            Source::new(&self.log),
            self.database.clone(),
            self.letters.clone(),
            self.clock.clone(),
            self.ids.clone(),
            self.settings.clone(),
        )
    }

    fn block_on(
        &self,
        worker: TestWorker,
        scenario: impl Future<Output = ()>,
    ) -> Result<Summary, WorkerError> {
        // Not `Send` because of this future only.
        let told = poll_fn(|_| {
            if self.shutdown.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let mut worker = pin!(worker.run(told));
        let mut scenario = pin!(scenario);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let (mut ended, mut over) = (None, false);
        loop {
            woken.0.store(false, Ordering::SeqCst);
            if ended.is_none()
                && let Poll::Ready(result) = worker.as_mut().poll(&mut context)
            {
                ended = Some(result);
            }
            if !over && scenario.as_mut().poll(&mut context).is_ready() {
                over = true;
                if !self.shutdown.replace(true) {
                    continue;
                }
            }
            match ended {
                Some(result) if over => return result,
                _ if !woken.0.load(Ordering::SeqCst) => self.clock.advance(),
                _ => {}
            }
        }
    }

    /// The value of one series: `name` or `name{label="value"}`.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let rendered = self.recorder.handle().render();
        let line = rendered.lines().find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Tells the worker to end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.set(true);
        // As a token would.
        self.log.nudge();
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let give_up = self.clock.monotonic() + Duration::from_secs(120);
        while !holds() {
            assert!(self.clock.monotonic() < give_up, "never happened: {what}");
            self.pass(Duration::from_millis(10)).await;
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    /// Waits until everything in the log is committed.
    pub(crate) async fn until_caught_up(&self) {
        self.until("caught up", || self.log.lag_records() == 0)
            .await;
    }
}

use std::sync::Arc;
use std::sync::Mutex;

use super::*;

/// Real time, so short: long enough for everything below but what is meant to exceed it.
const GRACE: Duration = Duration::from_secs(5);

fn lifecycle() -> Lifecycle {
    Lifecycle::new(GRACE, Health::new())
}

/// A component that ends when it is told to.
async fn obedient(shutdown: Shutdown) -> Result<(), ComponentError> {
    shutdown.requested().await;
    Ok(())
}

#[tokio::test]
async fn stages_end_in_the_order_in_which_they_were_made() {
    let mut lifecycle = lifecycle();
    let ends = Arc::new(Mutex::new(Vec::new()));
    // The earlier stage takes longer, and the later ones wait for it.
    for (name, millis) in [("http", 90), ("worker", 30), ("store", 0)] {
        let stage = lifecycle.stage(name);
        let ends = Arc::clone(&ends);
        stage.component(name, |shutdown| async move {
            shutdown.requested().await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            ends.lock().unwrap().push(name);
            Ok(())
        });
    }
    let started = Instant::now();
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Clean);
    assert_eq!(*ends.lock().unwrap(), ["http", "worker", "store"]);
    assert!(started.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn the_process_is_not_ready_while_it_drains() {
    let mut lifecycle = lifecycle();
    let health = lifecycle.health().clone();
    let during = health.clone();
    lifecycle
        .stage("http")
        .component("http", |shutdown| async move {
            assert!(during.is_ready());
            shutdown.requested().await;
            assert!(!during.is_ready());
            Ok(())
        });
    let stopper = lifecycle.stopper();
    let run = lifecycle.run();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        stopper.stop();
    };
    assert_eq!(tokio::join!(run, stop).0, Exit::Clean);
    assert!(health.is_draining());
}

#[tokio::test]
async fn a_component_that_ends_early_takes_the_process_down_in_order() {
    let mut lifecycle = lifecycle();
    let drained = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&drained);
    lifecycle
        .stage("http")
        .component("http", |shutdown| async move {
            obedient(shutdown).await?;
            *seen.lock().unwrap() = true;
            Ok(())
        });
    lifecycle
        .stage("worker")
        .component("worker", |_| async { Ok(()) });
    assert_eq!(lifecycle.run().await, Exit::Failed);
    assert!(*drained.lock().unwrap());
}

#[tokio::test]
async fn a_component_that_fails_takes_the_process_down() {
    let mut lifecycle = lifecycle();
    let stage = lifecycle.stage("worker");
    stage.component("worker", |_| async { Err("the disk is gone".into()) });
    assert_eq!(lifecycle.run().await, Exit::Failed);
}

#[tokio::test]
async fn a_component_that_panics_takes_the_process_down_with_a_code_of_its_own() {
    let mut lifecycle = lifecycle();
    lifecycle.stage("http").component("http", obedient);
    let stage = lifecycle.stage("worker");
    stage.component("worker", |_| async { panic!("a broken invariant") });
    assert_eq!(lifecycle.run().await, Exit::Panicked);
}

#[tokio::test]
async fn a_failure_while_draining_is_not_a_clean_end() {
    let mut lifecycle = lifecycle();
    lifecycle
        .stage("log")
        .component("log", |shutdown| async move {
            shutdown.requested().await;
            Err("the flush failed".into())
        });
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Failed);
}

#[tokio::test]
async fn a_later_stage_must_not_end_before_it_is_told() {
    let mut lifecycle = lifecycle();
    let http = lifecycle.stage("http");
    let http_shutdown = http.shutdown();
    http.component("http", |shutdown| async move {
        shutdown.requested().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    });
    lifecycle.stage("store").component("store", |_| async move {
        http_shutdown.requested().await;
        Ok(())
    });
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Failed);
}

#[tokio::test]
async fn the_grace_period_covers_all_stages_together() {
    let grace = Duration::from_millis(300);
    let mut lifecycle = Lifecycle::new(grace, Health::new());
    // Either would be in time alone.
    for name in ["http", "worker"] {
        lifecycle
            .stage(name)
            .component(name, |shutdown| async move {
                shutdown.requested().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(())
            });
    }
    let started = Instant::now();
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::GraceExceeded);
    assert!(started.elapsed() >= grace);
}

#[tokio::test]
async fn a_stage_waits_for_its_tasks() {
    let mut lifecycle = lifecycle();
    let stage = lifecycle.stage("http");
    let done = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&done);
    let task = stage.task("request", async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        *seen.lock().unwrap() = true;
    });
    // Whoever asked went away.
    drop(task);
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Clean);
    assert!(*done.lock().unwrap());
}

#[tokio::test]
async fn attended_work_is_done_by_whoever_awaits_it() {
    let mut lifecycle = lifecycle();
    let stage = lifecycle.stage("http");
    stage.component("http", obedient);
    let here = std::thread::current().id();
    let sum = stage.attended("sum", async move {
        tokio::task::yield_now().await;
        assert_eq!(std::thread::current().id(), here);
        1 + 1
    });
    assert_eq!(sum.await, Ok(2));
    let died = stage.attended("bad", async { panic!("one bad request") });
    assert_eq!(died.await, Err::<(), _>(TaskDied));
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Clean);
}

#[tokio::test]
async fn attended_work_is_finished_although_its_caller_ended_with_its_runtime() {
    let mut lifecycle = lifecycle();
    let stage = lifecycle.stage("http");
    let (done, seen) = tokio::sync::oneshot::channel();
    let work = stage.attended("request", async move {
        // Made in the caller's time, a timer of the caller's runtime would end with it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        done.send(()).unwrap();
    });
    let caller = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut work = Box::pin(work);
        runtime.block_on(async {
            let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(work.as_mut().poll(cx)));
            assert!(begun.await.is_pending());
        });
        drop(runtime);
        // Nobody asked for the rest.
        drop(work);
    });
    caller.join().unwrap();
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Clean);
    assert_eq!(seen.await, Ok(()));
}

#[tokio::test]
async fn a_task_gives_its_result_and_its_panic_ends_nothing_else() {
    let mut lifecycle = lifecycle();
    let stage = lifecycle.stage("http");
    stage.component("http", obedient);
    assert_eq!(stage.task("sum", async { 1 + 1 }).await, Ok(2));
    let died = stage.task("bad", async { panic!("one bad request") });
    assert_eq!(died.await, Err::<(), _>(TaskDied));
    lifecycle.stopper().stop();
    assert_eq!(lifecycle.run().await, Exit::Clean);
}

#[tokio::test]
async fn the_main_loop_beats_while_it_turns() {
    let mut lifecycle = lifecycle();
    let health = lifecycle.health().clone();
    let heart = health.heartbeat("worker", Duration::from_secs(60));
    lifecycle
        .stage("worker")
        .component("worker", |shutdown| async move {
            heart.beat();
            obedient(shutdown).await
        });
    let stopper = lifecycle.stopper();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(health.liveness().alive);
        stopper.stop();
    };
    assert_eq!(tokio::join!(lifecycle.run(), stop).0, Exit::Clean);
}

#[tokio::test]
async fn starting_gives_what_it_made() {
    assert_eq!(lifecycle().starting(async { 5 }).await, Ok(5));
}

//! The end of the server.

use std::time::{Duration, Instant};

use kith_runtime::lifecycle::Exit;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Setup, TestService, profiles};
use crate::watched::Mode;
use crate::wire::{head, read_to_end};

/// Reads one answer of a kept connection.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with('}') {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text.to_ascii_lowercase()
}

/// Waits until a service says that it ends.
async fn draining(service: &TestService) {
    while !service.health.is_draining() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until nothing new is accepted.
async fn refused(service: &TestService) {
    let began = Instant::now();
    while TcpStream::connect(service.address).await.is_ok() {
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "something new is accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends one request after another, until an answer says that it is the last of the connection, and it is.
async fn until_ended(kept: &mut TcpStream, get: &str) {
    let began = Instant::now();
    loop {
        kept.write_all(get.as_bytes()).await.unwrap();
        let text = answer(kept).await;
        assert!(text.starts_with("http/1.1 200"), "{text}");
        if text.contains("connection: close") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(1), "it goes on");
    }
    assert_eq!(read_to_end(kept).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_draining_kept_connections_are_answered_and_closed() {
    let mut service = TestService::start().await;
    let get = head("GET", &profiles(), "");
    let mut kept = TcpStream::connect(service.address).await.unwrap();
    kept.write_all(get.as_bytes()).await.unwrap();
    let text = answer(&mut kept).await;
    assert!(text.starts_with("http/1.1 200"), "{text}");
    assert!(!text.contains("connection: close"), "{text}");

    let lifecycle = service.lifecycle.take().unwrap();
    lifecycle.stopper().stop();
    let use_it = async {
        draining(&service).await;
        refused(&service).await;
        until_ended(&mut kept, &get).await;
    };
    let (exit, ()) = tokio::join!(lifecycle.run(), use_it);
    assert_eq!(exit, Exit::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_before_it_is_known_that_a_process_ends_is_answered() {
    let mut service = TestService::start().await;
    let get = head("GET", &profiles(), "");
    let lifecycle = service.lifecycle.take().unwrap();
    lifecycle.stopper().stop();
    let connect = async {
        draining(&service).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut late = TcpStream::connect(service.address).await.unwrap();
        late.write_all(get.as_bytes()).await.unwrap();
        let text = answer(&mut late).await;
        assert!(text.starts_with("http/1.1 200"), "{text}");
        // Nobody is told to connect anew while this process may be the one that takes it.
        assert!(!text.contains("connection: close"), "{text}");
        refused(&service).await;
        until_ended(&mut late, &get).await;
    };
    let (exit, ()) = tokio::join!(lifecycle.run(), connect);
    assert_eq!(exit, Exit::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_hold_the_end_up() {
    let mut service = TestService::start().await;
    let mut silent = TcpStream::connect(service.address).await.unwrap();
    silent
        .write_all(head("GET", &profiles(), "").as_bytes())
        .await
        .unwrap();
    assert!(answer(&mut silent).await.starts_with("http/1.1 200"));
    let lifecycle = service.lifecycle.take().unwrap();
    lifecycle.stopper().stop();
    let began = Instant::now();
    assert_eq!(lifecycle.run().await, Exit::Clean);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_before_the_end() {
    let mut setup = Setup::default();
    setup.limits.request_deadline = Duration::from_secs(1);
    let mut service = TestService::start_with(setup).await;
    assert_eq!(service.listed().await, json!([]));
    service.watch.set_log(Mode::Hanging);
    let body = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    let path = profiles();
    let lifecycle = service.lifecycle.take().unwrap();
    let stopper = lifecycle.stopper();
    let create = async {
        let create = service.post(&path, &body);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stopper.stop();
        };
        tokio::join!(create, stop).0
    };
    let began = Instant::now();
    let (answered, exit) = tokio::join!(create, lifecycle.run());
    answered.is(503, 20503);
    // The create was given its time to end, and no more.
    assert_eq!(exit, Exit::Clean);
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

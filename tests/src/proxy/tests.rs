use std::time::Instant;

use super::*;

/// What a client reads of an echo through the proxy until the connection ends or is silent: bytes, and whether it was reset.
async fn echoed(stream: &mut TcpStream, sent: &[u8]) -> (Vec<u8>, bool) {
    stream.write_all(sent).await.unwrap();
    let mut read = vec![0; sent.len()];
    let mut got = 0;
    while got < sent.len() {
        let reading = stream.read(&mut read[got..]);
        match tokio::time::timeout(Duration::from_millis(300), reading).await {
            Err(_) | Ok(Ok(0)) => break,
            Ok(Ok(more)) => got += more,
            Ok(Err(_)) => return (read[..got].to_vec(), true),
        }
    }
    (read[..got].to_vec(), false)
}

async fn echo() -> Proxy {
    let server = Acceptor::start(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    let server = server.await.unwrap();
    let address = server.address();
    // It is there until the test ends.
    std::mem::forget(server);
    Proxy::start(address).await.unwrap()
}

async fn connected(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echoed(&mut stream, b"hello").await.0, b"hello");
    stream
}

#[tokio::test]
async fn what_is_late_or_throttled_arrives_whole() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    for mode in [
        Mode::Delay(Duration::from_millis(50)),
        Mode::Throttle(1_000),
    ] {
        proxy.set(mode);
        let before = proxy.disturbed();
        let start = Instant::now();
        let (got, was_reset) = echoed(&mut stream, &[7; 50]).await;
        assert_eq!((got, was_reset), (vec![7; 50], false));
        assert!(start.elapsed() >= Duration::from_millis(100), "{mode:?}");
        assert!(proxy.disturbed() >= before + 2, "{mode:?}");
    }
}

#[tokio::test]
async fn what_is_kept_back_never_arrives_and_is_counted() {
    for mode in [
        Mode::BlackHole,
        Mode::SwallowAnswers,
        Mode::SwallowRequests,
        Mode::PassRequests(0),
    ] {
        let proxy = echo().await;
        let mut stream = connected(&proxy).await;
        proxy.set(mode);
        assert_eq!(echoed(&mut stream, b"lost").await, (vec![], false));
        assert_eq!(proxy.swallowed(), 1, "{mode:?}");
        assert_eq!(proxy.open(), 1);
        // Not even when everything passes again.
        proxy.set(Mode::Forward);
        assert_eq!(echoed(&mut stream, b"lost").await, (vec![], false));
        connected(&proxy).await;
    }
}

#[tokio::test]
async fn so_many_requests_pass_and_their_answers_and_no_more() {
    let proxy = echo().await;
    let (mut one, mut two) = (connected(&proxy).await, connected(&proxy).await);
    proxy.set(Mode::PassRequests(2));
    assert_eq!(echoed(&mut one, b"first").await.0, b"first");
    assert_eq!(echoed(&mut two, b"second").await.0, b"second");
    assert_eq!(echoed(&mut one, b"third").await.0, b"");
    assert_eq!((proxy.requests(), proxy.swallowed()), (5, 1));
}

#[tokio::test]
async fn an_answer_is_cut_in_the_middle_and_the_connection_reset() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    proxy.set(Mode::CutAnswersAfter(3));
    let (got, was_reset) = echoed(&mut stream, b"answer").await;
    // A reset may overtake what was sent before it.
    assert!(b"ans".starts_with(&got[..]), "{got:?}");
    assert!(was_reset);
    assert_eq!((proxy.disturbed(), proxy.cut()), (1, 1));
}

#[tokio::test]
async fn connections_are_cut_or_reset_and_new_ones_too() {
    for (mode, resets) in [(Mode::Cut, false), (Mode::Reset, true)] {
        let proxy = echo().await;
        let mut stream = connected(&proxy).await;
        proxy.set(mode);
        let ended = stream.read(&mut [0; 8]).await;
        assert_eq!(ended.is_err(), resets, "{mode:?}: {ended:?}");
        until(Duration::from_secs(5), "no connection", || async {
            Ok((proxy.open() == 0).then_some(()))
        })
        .await
        .unwrap();
        assert_eq!(proxy.disturbed(), 1);
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        let ended = next.read(&mut [0; 8]).await;
        assert_eq!(ended.is_err(), resets, "{mode:?}: {ended:?}");
        assert_eq!((proxy.disturbed(), proxy.cut()), (2, 2));
    }
}

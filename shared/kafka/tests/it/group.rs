use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kith_profiles::error::PortError;
use kith_profiles::ports::{NextOffset, Partition, TraitSource};

use crate::harness::{
    Member, PATIENCE, SESSION, assert_contiguous, committed, config, eventually, frontier, log,
    publish_numbers, until_both, until_shared,
};

#[tokio::test]
async fn a_second_member_gets_its_share_after_the_release_and_from_the_commit_on() {
    let mut config = config(4);
    // So that only the release can have sent it.
    config.consumer.commit_interval = Duration::from_secs(600);
    let log = log(&config).await;
    publish_numbers(&log, 16, 0..200).await;
    let mut first = Member::join(&config);
    first.until_records(200).await;
    let half: BTreeMap<_, _> = frontier(&first.records)
        .into_iter()
        .map(|(partition, next)| (partition, NextOffset::new(next.as_i64() / 2)))
        .collect();
    let commits: Vec<_> = half.iter().map(|(p, n)| (*p, *n)).collect();
    first.source.commit(&commits).unwrap();

    let mut second = Member::join(&config);
    until_shared(&mut first, &mut second, (2, 2)).await;
    assert_eq!(first.revoked.len(), 2, "only what moved was asked back");
    assert!(first.lost.is_empty());
    let mut moved = second.assigned.clone();
    moved.sort_unstable();
    first.revoked.sort_unstable();
    assert_eq!(moved, first.revoked);

    let whole: BTreeMap<_, _> = frontier(&first.records).into_iter().collect();
    let uncommitted: i64 = moved
        .iter()
        .map(|p| whole[p].as_i64() - half[p].as_i64())
        .sum();
    second
        .until_records(usize::try_from(uncommitted).unwrap())
        .await;
    for partition in &moved {
        let begin = second.records.iter().find(|r| r.partition == *partition);
        assert_eq!(begin.unwrap().offset.as_i64(), half[partition].as_i64());
    }
    assert_contiguous(&second.records);

    // What stayed goes on without a gap and without a repetition.
    let (before_first, before_second) = (first.records.len(), second.records.len());
    publish_numbers(&log, 16, 200..300).await;
    until_both(&mut first, &mut second, |first, second| {
        first.records.len() - before_first + second.records.len() - before_second >= 100
    })
    .await;
    assert_contiguous(&first.records);
    assert_contiguous(&second.records);
    tokio::join!(first.close(), second.close());
}

#[tokio::test]
async fn until_the_release_a_revoked_partition_is_nobodys_and_silent() {
    let config = config(2);
    let log = log(&config).await;
    let mut first = Member::join(&config);
    first.until_assigned(2).await;
    let mut second = Member::join(&config);
    let revoked = first.revoked_and_held().await;
    publish_numbers(&log, 16, 0..100).await;
    // Fails on a record of theirs.
    let while_held = Duration::from_secs(3);
    tokio::join!(first.run_for(while_held), second.run_for(while_held));
    assert!(second.assigned.is_empty(), "{:?}", second.assigned);

    // A commit still counts before the release, and is sent with it.
    let next = NextOffset::new(0);
    let commits: Vec<_> = revoked.iter().map(|p| (*p, next)).collect();
    first.source.commit(&commits).unwrap();
    first.source.release(&revoked).await.unwrap();
    assert_eq!(committed(&config).get(&revoked[0].0), Some(&0));
    until_both(&mut first, &mut second, |_, second| {
        second.assigned == revoked
    })
    .await;
    tokio::join!(first.close(), second.close());
}

#[tokio::test]
async fn a_partition_can_be_released_one_at_a_time() {
    let config = config(4);
    let _log = log(&config).await;
    let mut first = Member::join(&config);
    first.until_assigned(4).await;
    let mut second = Member::join(&config);
    let revoked = first.revoked_and_held().await;
    assert_eq!(revoked.len(), 2);
    first.source.release(&revoked[..1]).await.unwrap();
    second.run_for(Duration::from_secs(1)).await;
    assert!(second.assigned.is_empty());
    first.source.release(&revoked[1..]).await.unwrap();
    // Nothing is left to release; repeating it harms nothing.
    first.source.release(&revoked).await.unwrap();
    second.until_assigned(2).await;
    tokio::join!(first.close(), second.close());
}

#[tokio::test]
async fn a_member_that_leaves_gives_its_partitions_to_the_other() {
    let config = config(4);
    let log = log(&config).await;
    publish_numbers(&log, 16, 0..100).await;
    let mut first = Member::join(&config);
    first.commits = true;
    let mut second = Member::join(&config);
    second.commits = true;
    until_shared(&mut first, &mut second, (2, 2)).await;
    until_both(&mut first, &mut second, |first, second| {
        first.records.len() + second.records.len() >= 100
    })
    .await;
    let start = Instant::now();
    tokio::join!(first.close(), second.until_assigned(4));
    assert!(start.elapsed() < SESSION, "it left, it did not time out");
    // Everything was committed: nothing comes twice.
    let before = second.records.len();
    publish_numbers(&log, 16, 100..200).await;
    second.until_records(before + 100).await;
    second.run_for(Duration::from_millis(300)).await;
    assert_eq!(second.records.len(), before + 100);
    second.close().await;
}

#[tokio::test]
async fn dropping_a_member_is_leaving_too() {
    let config = config(2);
    let log = log(&config).await;
    publish_numbers(&log, 8, 0..20).await;
    let mut first = Member::join(&config);
    first.until_records(20).await;
    first.commit_all();
    let start = Instant::now();
    drop(first);
    let mut second = Member::join(&config);
    second.until_assigned(2).await;
    assert!(start.elapsed() < SESSION);
    second.run_for(Duration::from_millis(500)).await;
    assert!(second.records.is_empty(), "committed before the drop");
    second.close().await;
}

#[tokio::test]
async fn closing_answers_what_is_still_due() {
    let config = config(2);
    let _log = log(&config).await;
    // An assignment that was never taken.
    let untaken = Member::join(&config);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    untaken.close().await;

    // A revocation that was never released.
    let mut first = Member::join(&config);
    first.until_assigned(2).await;
    let mut second = Member::join(&config);
    first.revoked_and_held().await;
    tokio::join!(first.close(), second.until_assigned(2));
    assert!(start.elapsed() < PATIENCE / 2);
    second.close().await;
}

#[tokio::test]
async fn members_that_come_and_go_lose_nothing_and_repeat_only_what_was_not_committed() {
    const TOTAL: u32 = 2000;
    let config = config(6);
    let log = log(&config).await;
    let mut stays = Member::join(&config);
    stays.commits = true;
    let publishing = async {
        for number in 0..TOTAL {
            publish_numbers(&log, 64, number..number + 1).await;
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    };
    let mut guests = Vec::new();
    let visiting = async {
        for _ in 0..3 {
            let mut guest = Member::join(&config);
            guest.commits = true;
            guest.until_assigned(3).await;
            guest.run_for(Duration::from_millis(300)).await;
            guests.append(&mut guest.records);
            guest.close().await;
        }
    };
    let mut visited = false;
    let staying = async {
        stays
            .until("the last record", |m| {
                m.records
                    .iter()
                    .any(|r| crate::harness::number(r) == TOTAL - 1)
            })
            .await;
    };
    let visits = async {
        visiting.await;
        visited = true;
    };
    // The guests go before the last record is published; what they have not seen, the one that stays sees.
    tokio::join!(publishing, visits, staying);
    assert!(visited);
    stays.run_for(Duration::from_millis(500)).await;
    assert!(stays.lost.is_empty(), "{:?}", stays.lost);
    let mut numbers: Vec<u32> = stays.numbers();
    numbers.extend(guests.iter().map(crate::harness::number));
    let delivered = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..TOTAL).collect::<Vec<_>>());
    assert_eq!(
        delivered, TOTAL as usize,
        "all was committed before each move"
    );
    stays.close().await;
}

#[tokio::test]
async fn an_owner_that_hangs_loses_its_partitions_and_may_come_back() {
    let mut config = config(2);
    config.consumer.max_poll_interval = SESSION;
    let log = log(&config).await;
    let mut hangs = Member::join(&config);
    hangs.until_assigned(2).await;
    let mut other = Member::join(&config);
    // The other may have got its share of the first before that hangs.
    other.commits = true;
    until_shared(&mut hangs, &mut other, (1, 1)).await;
    publish_numbers(&log, 8, 0..20).await;
    other.until_assigned(2).await;
    other.until_records(20).await;
    eventually(
        "committed",
        || committed(&config),
        |c| c.values().sum::<i64>() == 20,
    )
    .await;

    until_both(&mut hangs, &mut other, |hangs, _| hangs.lost.len() == 1).await;
    // What it says now of the time before has no effect.
    let lost = hangs.lost[0];
    hangs.source.commit(&[(lost, NextOffset::new(0))]).unwrap();
    until_shared(&mut hangs, &mut other, (1, 1)).await;
    assert_eq!(committed(&config).values().sum::<i64>(), 20);
    tokio::join!(hangs.close(), other.close());
}

#[tokio::test]
async fn a_static_member_that_returns_in_time_disturbs_nobody() {
    let mut config = config(2);
    config.consumer.session_timeout = Duration::from_secs(20);
    let log = log(&config).await;
    let named = |name: &str| {
        let mut config = config.clone();
        config.consumer.group_instance_id = Some(name.to_owned());
        config
    };
    let mut first = Member::join(&named("pod-0"));
    first.until_assigned(2).await;
    let mut second = Member::join(&named("pod-1"));
    until_shared(&mut first, &mut second, (1, 1)).await;
    let (kept, mine) = (second.assigned.clone(), first.assigned.clone());
    first.close().await;
    let mut again = Member::join(&named("pod-0"));
    tokio::join!(
        again.until_assigned(1),
        second.run_for(Duration::from_secs(3))
    );
    assert_eq!(again.assigned, mine);
    assert_eq!(second.assigned, kept);
    assert!(second.revoked.is_empty() && second.lost.is_empty());
    drop(log);
    tokio::join!(again.close(), second.close());
}

#[tokio::test]
async fn a_second_process_under_the_same_static_name_ends_the_first_for_good() {
    let mut config = config(1);
    config.consumer.group_instance_id = Some("pod-0".to_owned());
    let _log = log(&config).await;
    let mut first = Member::join(&config);
    first.until_assigned(1).await;
    let mut second = Member::join(&config);
    let fenced = async {
        loop {
            match first.step(PATIENCE).await {
                None | Some(Ok(()) | Err(PortError::Unavailable { .. })) => {}
                Some(Err(error)) => break error,
            }
        }
    };
    let (error, ()) = tokio::join!(
        tokio::time::timeout(PATIENCE, fenced),
        second.until_assigned(1)
    );
    assert!(matches!(error, Ok(PortError::Fatal { .. })), "{error:?}");
    // It says so as often as it is asked, and its end is bounded.
    assert!(matches!(
        first.source.next().await,
        Err(PortError::Fatal { .. })
    ));
    first.source.close(PATIENCE).await.ok();
    assert_eq!(second.assigned, [Partition(0)]);
    second.close().await;
}

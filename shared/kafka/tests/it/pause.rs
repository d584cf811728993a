use std::collections::BTreeSet;
use std::time::Duration;

use kith_profiles::ports::{Partition, TraitSource};

use crate::harness::{
    Member, assert_contiguous, committed, config, eventually, log, publish_numbers, until_both,
    until_shared,
};

#[tokio::test]
async fn nothing_is_lost_or_reordered_by_pausing_under_flow() {
    const TOTAL: u32 = 3000;
    let mut config = config(4);
    config.consumer.prefetch_records = 30;
    config.consumer.batch_records = 13;
    let log = log(&config).await;
    let mut member = Member::join(&config);
    member.until_assigned(4).await;
    let publishing = publish_numbers(&log, 17, 0..TOTAL);
    let consuming = async {
        let mut paused = BTreeSet::new();
        let mut turns = 0_i32;
        while member.records.len() < TOTAL as usize {
            let partition = Partition(turns * 7 % 4);
            turns += 1;
            if paused.remove(&partition) {
                member.source.resume(&[partition]).unwrap();
            } else if paused.len() < 3 {
                paused.insert(partition);
                member.source.pause(&[partition]).unwrap();
            }
            let before = member.records.len();
            member.step(Duration::from_millis(5)).await;
            for record in &member.records[before..] {
                assert!(
                    !paused.contains(&record.partition),
                    "{record:?} while paused"
                );
            }
        }
    };
    tokio::join!(publishing, consuming);
    assert_contiguous(&member.records);
    let mut numbers = member.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..TOTAL).collect::<Vec<_>>());
    member.close().await;
}

#[tokio::test]
async fn a_paused_partition_does_not_hold_up_the_others() {
    let mut config = config(2);
    config.consumer.prefetch_records = 10;
    let log = log(&config).await;
    let mut member = Member::join(&config);
    member.until_assigned(2).await;
    member.source.pause(&[Partition(0)]).unwrap();
    publish_numbers(&log, 32, 0..2000).await;
    // Whatever the keys hash to, some hundreds are not in partition 0.
    member.until_records(300).await;
    assert!(member.records.iter().all(|r| r.partition == Partition(1)));
    member.source.resume(&[Partition(0)]).unwrap();
    member.until_records(2000).await;
    assert_contiguous(&member.records);
    member.close().await;
}

#[tokio::test]
async fn membership_is_kept_while_everything_is_paused_and_delivery_goes_on_where_it_stopped() {
    let config = config(2);
    let log = log(&config).await;
    publish_numbers(&log, 8, 0..100).await;
    let mut member = Member::join(&config);
    member.until_records(100).await;
    let all = member.assigned.clone();
    member.source.pause(&all).unwrap();
    publish_numbers(&log, 8, 100..200).await;
    // Longer than the session.
    member.run_for(Duration::from_secs(8)).await;
    assert_eq!(member.records.len(), 100);
    assert!(member.lost.is_empty() && member.revoked.is_empty());
    member.source.resume(&all).unwrap();
    member.until_records(200).await;
    assert_contiguous(&member.records);
    // Commits still count: it is the same membership.
    member.commit_all();
    eventually(
        "committed",
        || committed(&config),
        |c| c.values().sum::<i64>() == 200,
    )
    .await;
    member.close().await;
}

#[tokio::test]
async fn a_rebalance_does_not_move_the_place_of_a_paused_partition_that_stays() {
    let config = config(4);
    let log = log(&config).await;
    let mut first = Member::join(&config);
    first.until_assigned(4).await;
    publish_numbers(&log, 16, 0..100).await;
    first.until_records(100).await;
    first.commits = true;
    first.commit_all();
    let all = first.assigned.clone();
    first.source.pause(&all).unwrap();
    publish_numbers(&log, 16, 100..200).await;

    let mut second = Member::join(&config);
    until_shared(&mut first, &mut second, (2, 2)).await;
    // The first has fetched ahead of its pause, the library has dropped that for the rebalance: still nothing comes.
    first.run_for(Duration::from_millis(500)).await;
    assert_eq!(first.records.len(), 100);
    let stayed = first.assigned.clone();
    first.source.resume(&stayed).unwrap();
    until_both(&mut first, &mut second, |first, second| {
        first.records.len() + second.records.len() >= 200
    })
    .await;
    assert_contiguous(&first.records);
    assert_contiguous(&second.records);
    assert_eq!(first.records.len() + second.records.len(), 200);
    tokio::join!(first.close(), second.close());
}

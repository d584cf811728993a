//! What every engine owes, as cases over fresh ports: each engine passes all of them, and engines that are wrong on purpose
//! must not.
//!
//! A case is a plain function over a fixture; the lists are [`database_cases`] and [`log_cases`]. A case must hold on any
//! conforming engine, so it may not know which one it runs on.

mod cells;
mod definitions;
mod identity;
mod listing_control;
mod log;
mod owners;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
use kith_domain::id::{ClaimId, DefinitionId, LinkToken, ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;
use kith_profiles::ports::{Database, DeadLetters, Definitions, TraitLog, TraitSource};
use uuid::Uuid;

/// A database engine under test, with data of its own.
pub trait DatabaseFixture: Send + Sync {
    /// The engine.
    type Database: Database + Definitions + Clone;

    /// A handle on it.
    fn database(&self) -> Self::Database;

    /// From now on the next conditional statement takes effect, and its answer does not arrive.
    fn lose_next_answer(&self) -> impl Future<Output = Result<()>> + Send;

    /// Ends the engine without warning and starts it again on the same data. Handles from before are dead.
    fn crash(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// A log engine under test, with a topic of its own.
pub trait LogFixture: Send + Sync {
    /// The producing half.
    type Log: TraitLog + DeadLetters + Clone + 'static;
    /// The consuming half.
    type Source: TraitSource;

    /// A handle on the producing half.
    fn log(&self) -> Self::Log;

    /// A consumer of this group.
    fn consumer(&self, group: &str) -> impl Future<Output = Result<Self::Source>> + Send;

    /// The dead letters so far: key, payload and headers of each.
    fn dead_letters(
        &self,
        at_least: usize,
    ) -> impl Future<Output = Result<Vec<kith_profiles::ports::NewRecord>>> + Send;

    /// Ends the engine without warning and starts it again on the same data. Handles from before are dead.
    fn crash(&mut self) -> impl Future<Output = Result<()>> + Send;
}

type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A named case over a fixture.
pub struct Case<F> {
    /// Its name: a sentence.
    pub name: &'static str,
    /// Whether it crashes the engine, which it does once.
    pub crashes: bool,
    run: for<'a> fn(&'a mut F) -> CaseFuture<'a>,
}

macro_rules! cases {
    ($($module:ident :: $case:ident $($crashes:ident)?),* $(,)?) => {
        vec![$(Case {
            name: stringify!($case),
            crashes: [$(stringify!($crashes)),*].contains(&"crashes"),
            run: |fixture| Box::pin($module::$case(fixture)),
        }),*]
    };
}

/// The cases of a database engine.
#[must_use]
pub fn database_cases<F: DatabaseFixture>() -> Vec<Case<F>> {
    cases![
        identity::a_free_identifier_is_claimed_once,
        identity::a_refused_claim_says_what_stands,
        identity::a_claim_sent_again_is_in_force_once,
        identity::a_release_names_the_exact_claim,
        identity::of_many_claims_at_once_one_is_applied,
        identity::of_many_rounds_each_identifier_has_one_owner,
        identity::a_pointer_is_set_where_none_was,
        identity::a_pointer_is_replaced_only_as_read,
        identity::a_link_needs_a_live_parent_with_its_pointer_as_read,
        identity::a_verdict_never_changes,
        identity::void_and_linked_exclude_each_other_under_contention,
        identity::a_dead_node_takes_no_pointer_and_no_link,
        identity::a_kill_names_the_pointer_it_read,
        identity::of_a_link_and_a_kill_the_later_is_refused,
        identity::node_reads_give_what_was_asked,
        identity::links_are_read_with_their_evidence,
        identity::answers_come_in_the_order_of_the_statements,
        identity::a_lost_answer_is_unknown_and_never_refused,
        identity::acknowledged_statements_survive_a_crash crashes,
        owners::a_value_takes_several_owners,
        owners::owners_and_the_claim_of_one_value_do_not_mix,
        owners::an_owner_is_added_once_and_sent_again_in_force,
        owners::an_owner_is_released_exactly,
        owners::an_owner_is_added_as_read_or_not_at_all,
        owners::of_many_first_owners_as_read_one_is_added,
        owners::many_owners_are_read_whole,
        owners::acknowledged_owners_survive_a_crash crashes,
        cells::a_partition_never_written_is_empty,
        cells::the_newest_trait_wins_in_any_order,
        cells::equal_times_keep_the_larger_bytes,
        cells::the_clock_row_is_a_max_register,
        cells::a_settled_mark_stays,
        cells::a_forgotten_identifier_row_stays_away,
        cells::marks_and_rows_of_one_batch_come_together,
        cells::every_selection_gives_only_its_rows,
        cells::exact_rows_are_found_by_their_whole_key,
        cells::many_rows_are_read_whole,
        cells::text_is_kept_to_the_letter,
        cells::stores_and_profiles_do_not_mix,
        cells::a_batch_is_repeated_without_effect,
        cells::a_purge_leaves_nothing_of_its_partitions,
        cells::a_late_write_of_any_kind_stays_purged,
        cells::what_is_newer_than_a_purge_stays,
        cells::of_two_purges_the_later_time_counts,
        cells::acknowledged_purges_survive_a_crash crashes,
        cells::acknowledged_cells_survive_a_crash crashes,
        cells::earlier_writes_are_durable_with_a_durable_one crashes,
        listing_control::a_listing_is_in_order_both_ways,
        listing_control::pages_go_on_after_any_id,
        listing_control::ids_years_apart_are_listed,
        listing_control::listings_do_not_mix,
        listing_control::a_removed_profile_is_not_listed crashes,
        listing_control::a_store_is_created_once,
        listing_control::a_store_is_read_as_it_was_written crashes,
        listing_control::a_deleted_store_is_gone_and_never_made_again crashes,
        definitions::an_account_is_written_under_its_revision crashes,
        definitions::of_many_writes_on_one_revision_one_is_applied,
        definitions::a_store_that_is_made_has_no_name_yet,
        definitions::a_created_store_is_named_whole,
        definitions::what_a_deleted_store_owes_stays_in_its_account,
        definitions::a_part_of_a_store_is_written_under_its_version crashes,
        definitions::of_many_groups_on_one_version_one_is_applied,
        definitions::an_operation_is_kept_for_its_account crashes,
        definitions::the_key_of_page_tokens_is_the_same_for_ever crashes,
    ]
}

/// The cases of a log engine.
#[must_use]
pub fn log_cases<F: LogFixture>() -> Vec<Case<F>> {
    cases![
        log::a_record_arrives_as_it_was_published,
        log::records_of_one_key_keep_their_order,
        log::offsets_of_a_partition_are_contiguous,
        log::every_group_reads_everything_once,
        log::a_group_goes_on_where_it_committed,
        log::a_paused_partition_delivers_nothing_and_loses_nothing,
        log::lag_counts_what_is_not_committed,
        log::large_records_pass_and_larger_ones_are_refused,
        log::a_dead_letter_keeps_everything,
        log::acknowledged_records_survive_a_crash crashes,
    ]
}

/// Runs every case, each on a fresh fixture; returns the names of those that failed, with why.
pub async fn run<F, M, Fut>(cases: Vec<Case<F>>, make: M) -> Vec<(&'static str, anyhow::Error)>
where
    M: Fn() -> Fut,
    Fut: Future<Output = Result<F>>,
{
    let mut failed = Vec::new();
    for case in cases {
        failed.extend(failure(&case, &make).await);
    }
    failed
}

/// As [`run`], all of them at once: for cases of which each spends its time on a crash that one server can have for all.
pub async fn run_at_once<F, M, Fut>(
    cases: Vec<Case<F>>,
    make: M,
) -> Vec<(&'static str, anyhow::Error)>
where
    M: Fn() -> Fut,
    Fut: Future<Output = Result<F>>,
{
    let failures = cases.iter().map(|case| failure(case, &make));
    let failures = futures_util::future::join_all(failures).await;
    failures.into_iter().flatten().collect()
}

async fn failure<F, M, Fut>(case: &Case<F>, make: &M) -> Option<(&'static str, anyhow::Error)>
where
    M: Fn() -> Fut,
    Fut: Future<Output = Result<F>>,
{
    let outcome = async {
        let mut fixture = make().await?;
        (case.run)(&mut fixture).await
    };
    match tokio::time::timeout(std::time::Duration::from_secs(90), outcome).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((case.name, error)),
        Err(_) => Some((case.name, anyhow::anyhow!("did not end"))),
    }
}

// ------------------------------------------------------------------------------------------------- what cases are made of

fn uuid() -> Uuid {
    Uuid::new_v4()
}

fn claim_id() -> ClaimId {
    ClaimId::from_uuid(uuid())
}

fn token() -> LinkToken {
    LinkToken::from_uuid(uuid())
}

fn definition() -> DefinitionId {
    DefinitionId::from_uuid(uuid())
}

fn profile() -> ProfileId {
    ProfileId::from_uuid(Uuid::now_v7())
}

fn store() -> StoreId {
    StoreId::from_uuid(uuid())
}

fn key() -> ProfileKey {
    ProfileKey {
        store: store(),
        profile: profile(),
    }
}

fn at(micros: i64) -> Micros {
    Micros::from_micros(micros)
}

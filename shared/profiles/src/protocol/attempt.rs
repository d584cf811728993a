//! Sending conditional statements until each has an answer.
//!
//! On an unknown outcome the very same statement is sent again, ids included, with jittered back-off: a statement that was
//! refused once can never succeed later, so the answer that comes in the end is the true one (`identity-protocol.md` 3).
//! How many are sent again is bounded over the whole process ([`crate::retries`]).

use std::time::Duration;

use crate::environment::{Deadline, Environment, Omission};
use crate::error::{PortError, Trouble};
use crate::ports::{Clock, Conditional, Durability, Identity, Ids, Outcome, Standing, Verdict};

const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The answer to one conditional statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The statement is in force: applied, or found to have been.
    Won,
    /// Something else stands there.
    Lost(Standing),
}

impl Answer {
    pub(crate) fn is_won(self) -> bool {
        matches!(self, Self::Won)
    }
}

/// Jittered back-off: between half and all of a pause that doubles.
pub(crate) async fn back_off<E: Environment>(env: &E, try_number: u32) {
    let pause = FIRST_PAUSE
        .saturating_mul(1 << try_number.min(6))
        .min(LONGEST_PAUSE);
    let half = pause / 2;
    let jitter = env.ids().random().as_u128() % (half.as_nanos() + 1);
    let jitter = Duration::from_nanos(u64::try_from(jitter).unwrap_or(0));
    env.clock().sleep(half + jitter).await;
}

/// Sends the statements of a round until each is answered. Answers come in the order of the statements.
///
/// # Errors
/// [`Trouble::Deadline`] if one is still unknown when the deadline passes, [`Trouble::Port`] if one is and too much was sent
/// again lately. Nothing is undone.
pub(crate) async fn send<E: Environment>(
    env: &E,
    statements: &[Conditional],
    durability: Durability,
    deadline: Deadline,
) -> Result<Vec<Answer>, Trouble> {
    let mut answers: Vec<Option<Answer>> = vec![None; statements.len()];
    let mut open: Vec<usize> = (0..statements.len()).collect();
    let mut tries = 0;
    if let Some(retries) = env.retries() {
        retries.earn(statements.len());
    }
    while !open.is_empty() {
        let outcomes = if open.len() == statements.len() {
            env.database().attempt(statements, durability).await
        } else {
            let again: Vec<Conditional> = open.iter().map(|&i| statements[i].clone()).collect();
            env.database().attempt(&again, durability).await
        };
        let mut unknown = Vec::new();
        for (&index, outcome) in open.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => answers[index] = Some(Answer::Won),
                Outcome::Refused(standing) => {
                    answers[index] = Some(judge(&statements[index], standing));
                }
                Outcome::Unknown if env.omits(Omission::Resend) => {
                    answers[index] = Some(Answer::Won);
                }
                Outcome::Unknown => unknown.push(index),
            }
        }
        open = unknown;
        if !open.is_empty() {
            if deadline.has_passed(env.clock()) {
                return Err(Trouble::Deadline {
                    during: "waiting for a conditional statement",
                });
            }
            if env
                .retries()
                .is_some_and(|retries| !retries.spend(open.len()))
            {
                metrics::counter!("kith_retries_refused_total").increment(open.len() as u64);
                return Err(Trouble::Port(PortError::Unavailable {
                    operation: "send conditional statements again",
                    cause: None,
                }));
            }
            metrics::counter!("kith_retries_total", "operation" => "conditional")
                .increment(open.len() as u64);
            back_off(env, tries).await;
            tries += 1;
        }
    }
    Ok(answers
        .into_iter()
        .map(|answer| answer.unwrap_or(Answer::Lost(Standing::default())))
        .collect())
}

/// What a refusal means: lost to myself is success.
fn judge(statement: &Conditional, standing: Standing) -> Answer {
    let mine = match statement {
        Conditional::Claim { id, .. }
        | Conditional::Release { id, .. }
        | Conditional::Share { id, .. }
        | Conditional::Unshare { id, .. } => standing.claim_id == Some(*id),
        Conditional::Point { token, .. } => standing.parent_token == Some(*token),
        // Whoever wrote it: the row that is there is the verdict.
        Conditional::Link { .. } => standing.verdict == Some(Verdict::Linked),
        Conditional::Void { .. } => standing.verdict == Some(Verdict::Void),
        Conditional::Kill { id, .. } => standing.dead == Some(*id),
    };
    if mine {
        Answer::Won
    } else {
        Answer::Lost(standing)
    }
}

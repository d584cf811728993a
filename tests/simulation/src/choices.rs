//! What a schedule is made of: choices, drawn from a seed or given, and written down.
//!
//! Of every choice, 0 is the plainest: nothing goes wrong, and whoever ran last goes on. So a list of choices is made
//! simpler by making them 0, and what is missing at its end is 0 ([`crate::shrink`]).

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Where choices come from, and what was chosen.
#[derive(Debug)]
pub struct Choices {
    source: Source,
    taken: Vec<u32>,
}

#[derive(Debug)]
enum Source {
    Seed(SmallRng, Policy),
    Given(std::vec::IntoIter<u32>),
}

/// How the next statement is chosen under a seed.
#[derive(Debug)]
enum Policy {
    /// Any, evenly.
    Even,
    /// By priorities of clients, which are drawn anew now and then: orders that even chance seldom gives.
    Favour(BTreeMap<usize, u32>),
    /// By strict priorities of clients. At a few steps, drawn before, whoever would run goes behind everybody else. Finds
    /// what takes a few switches at the right places, however long the schedule is (probabilistic concurrency testing).
    Strict {
        priorities: BTreeMap<usize, u32>,
        changes: Vec<u32>,
        step: u32,
    },
}

/// Stands for everybody who pauses.
pub const PAUSES: usize = usize::MAX;
/// Steps among which the changes of strict priorities are drawn.
const HORIZON: u32 = 240;
/// Changes of strict priorities at most.
const CHANGES_MAX: u32 = 4;

impl Choices {
    /// Drawn from a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let policy = match rng.random_range(0..6) {
            0 | 1 => Policy::Even,
            2 | 3 => Policy::Favour(BTreeMap::new()),
            _ => Policy::Strict {
                priorities: BTreeMap::new(),
                changes: (0..rng.random_range(0..=CHANGES_MAX))
                    .map(|_| rng.random_range(0..HORIZON))
                    .collect(),
                step: 0,
            },
        };
        Self {
            source: Source::Seed(rng, policy),
            taken: Vec::new(),
        }
    }

    /// As given.
    #[must_use]
    pub fn given(choices: Vec<u32>) -> Self {
        Self {
            source: Source::Given(choices.into_iter()),
            taken: Vec::new(),
        }
    }

    /// What was chosen so far.
    #[must_use]
    pub fn taken(self) -> Vec<u32> {
        self.taken
    }

    fn note(&mut self, choice: u32) -> u32 {
        self.taken.push(choice);
        choice
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        let most = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        let choice = match &mut self.source {
            Source::Seed(rng, _) => rng.random_range(0..=most),
            Source::Given(choices) => choices.next().unwrap_or(0).min(most),
        };
        self.note(choice) as usize
    }

    /// Whether something happens that happens so often in a thousand times. What never happens is no choice.
    pub fn chance(&mut self, permille: u32) -> bool {
        if permille == 0 {
            return false;
        }
        let happens = match &mut self.source {
            Source::Seed(rng, _) => rng.random_range(0..1_000) < permille,
            Source::Given(choices) => choices.next().unwrap_or(0) > 0,
        };
        self.note(u32::from(happens)) > 0
    }

    /// Puts things into any order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for place in 0..things.len() {
            let other = self.below(things.len() - place);
            things.swap(place, place + other);
        }
    }

    /// Which of the statements runs next: by client, those that nobody waits for at the end. `late`: how many are waited for.
    pub fn statement(&mut self, clients: &[usize], live: usize) -> usize {
        let count = clients.len();
        let chosen = match &mut self.source {
            Source::Seed(rng, policy) => {
                let is_late = live < count && (live == 0 || rng.random_range(0..12) == 0);
                if is_late {
                    rng.random_range(live..count)
                } else {
                    policy.choose(rng, &clients[..live])
                }
            }
            Source::Given(choices) => {
                let choice = choices.next().unwrap_or(0) as usize;
                choice.min(count.saturating_sub(1))
            }
        };
        self.note(u32::try_from(chosen).unwrap_or(u32::MAX)) as usize
    }
}

impl Policy {
    fn choose(&mut self, rng: &mut SmallRng, clients: &[usize]) -> usize {
        let priorities = match self {
            Self::Even => return rng.random_range(0..clients.len()),
            Self::Favour(priorities) => {
                if rng.random_range(0..16) == 0 {
                    priorities.clear();
                }
                priorities
            }
            Self::Strict {
                priorities,
                changes,
                step,
            } => {
                *step += 1;
                let draw = |rng: &mut SmallRng| rng.random_range(HORIZON..u32::MAX);
                for client in clients {
                    priorities.entry(*client).or_insert_with(|| draw(rng));
                }
                // Else whoever pauses again and again would keep everybody from running.
                priorities.insert(PAUSES, 0);
                if changes.contains(step)
                    && let Some(first) = clients.iter().max_by_key(|client| priorities[*client])
                {
                    // The later, the lower.
                    priorities.insert(*first, HORIZON - *step);
                }
                priorities
            }
        };
        let mut best = 0;
        let mut highest = None;
        for (place, client) in clients.iter().enumerate() {
            let priority = *priorities.entry(*client).or_insert_with(|| rng.random());
            if highest.is_none_or(|highest| priority > highest) {
                (best, highest) = (place, Some(priority));
            }
        }
        best
    }
}

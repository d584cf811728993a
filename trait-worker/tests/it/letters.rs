//! Dead letters that can be held up and taken away.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use kith_profiles::error::PublishError;
use kith_profiles::ports::{DeadLetter, DeadLetters, NewRecord, TraitLog};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Up,
    /// Nothing is acknowledged, and nothing refused.
    Silent,
    Down,
    Full,
    TooLarge,
}

#[derive(Clone, Default)]
pub(crate) struct Letters(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    mode: Mode,
    waiting: Vec<Waker>,
    buried: Vec<DeadLetter>,
    tries: usize,
    published: Vec<NewRecord>,
}

impl Letters {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        let mut state = self.state();
        state.mode = mode;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn buried(&self) -> Vec<DeadLetter> {
        self.state().buried.clone()
    }

    pub(crate) fn has(&self, partition: i32, offset: i64) -> bool {
        let state = self.state();
        state.buried.iter().any(|letter| {
            letter.record.partition.0 == partition && letter.record.offset.as_i64() == offset
        })
    }

    pub(crate) fn tries(&self) -> usize {
        self.state().tries
    }
}

impl TraitLog for Letters {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.state().published.push(record);
        Ok(())
    }
}

impl DeadLetters for Letters {
    async fn bury(&self, letter: DeadLetter) -> Result<(), PublishError> {
        self.state().tries += 1;
        poll_fn(|context| {
            let mut state = self.state();
            if state.mode == Mode::Silent {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let mut state = self.state();
        match state.mode {
            Mode::Up | Mode::Silent => {
                state.buried.push(letter);
                Ok(())
            }
            Mode::Down => Err(PublishError::Unavailable(None)),
            Mode::Full => Err(PublishError::Full),
            Mode::TooLarge => Err(PublishError::TooLarge),
        }
    }
}

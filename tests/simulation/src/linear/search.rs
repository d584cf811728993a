//! The search for an order: depth first, and no state twice. What only looks is taken as soon as it is explained: it changes
//! nothing, and its end only sets others free.

use std::collections::HashSet;

use super::{Asked, Call, Facts, IDENTIFIERS, Place, Problem, Profile, Set, Told};

/// Whether a history is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explained {
    /// There is an order.
    Yes,
    /// There is none.
    No,
    /// The search was given up.
    NotJudged,
}

/// States that a search visits at the most.
const NODES_MAX: usize = 30_000;

/// A point of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    facts: Facts,
    /// The call that gave each identifier to its owner.
    givers: [Option<u8>; IDENTIFIERS],
    /// Owners that identifiers had before a release, each with the call that released it: who overlaps it may still act on
    /// them (`identity-protocol.md` 9, V1).
    stale: Vec<(u8, Profile, u8)>,
    /// How far each call is.
    progress: Vec<u8>,
}

/// The call is over.
const OVER: u8 = 0xff;
/// The call has connected everything.
const CONNECTED: u8 = 0x80;

/// Searches for an order.
#[must_use]
pub fn explain(problem: &Problem) -> Explained {
    let count = problem.now.places.len();
    let start = State {
        facts: Facts {
            places: vec![Place::Unborn; count],
            owners: [None; IDENTIFIERS],
        },
        givers: [None; IDENTIFIERS],
        stale: Vec::new(),
        progress: vec![0; problem.calls.len()],
    };
    let mut search = Search {
        problem,
        seen: HashSet::new(),
    };
    let mut open = vec![start];
    while let Some(mut state) = open.pop() {
        search.look(&mut state);
        if search.is_end(&state) {
            return Explained::Yes;
        }
        if !search.seen.insert(state.clone()) {
            continue;
        }
        if search.seen.len() > NODES_MAX {
            return Explained::NotJudged;
        }
        // Pushed in reverse: what is likely is tried first.
        let mut moves = search.moves(&state);
        moves.reverse();
        open.append(&mut moves);
    }
    Explained::No
}

struct Search<'a> {
    problem: &'a Problem,
    seen: HashSet<State>,
}

impl Search<'_> {
    fn is_end(&self, state: &State) -> bool {
        let all = self.problem.calls.iter().zip(&state.progress);
        state.facts == self.problem.now
            && all
                .into_iter()
                .all(|(call, progress)| call.answered.is_none() || *progress == OVER)
    }

    /// Nothing that is not over was answered before this was sent.
    fn horizon(&self, state: &State) -> u64 {
        let open = self.problem.calls.iter().zip(&state.progress);
        open.filter(|(_, progress)| **progress != OVER)
            .filter_map(|(call, _)| call.answered.map(|(answered, _)| answered))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Takes everything that only looks and is explained now.
    fn look(&self, state: &mut State) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            let horizon = self.horizon(state);
            for (number, call) in self.problem.calls.iter().enumerate() {
                let progress = state.progress[number];
                if progress == OVER || call.sent > horizon {
                    continue;
                }
                let Some((_, told)) = call.answered else {
                    continue;
                };
                let seen = self.seen_by(state, number, call, told);
                if seen != progress {
                    state.progress[number] = seen;
                    is_moving |= seen == OVER;
                }
            }
            state
                .stale
                .retain(|(_, _, releaser)| self.is_of_use(&state.progress, usize::from(*releaser)));
        }
        state.stale.sort_unstable();
        state.stale.dedup();
    }

    /// The progress of a call that only looks, after a look at this state; unchanged for any other.
    fn seen_by(&self, state: &State, number: usize, call: &Call, told: Told<Profile>) -> u8 {
        let progress = state.progress[number];
        let is_over = match (call.asked, told) {
            (Asked::Lookup(id), Told::Owner(Some(owner))) => {
                self.owners(state, id, number).contains(&owner)
            }
            (Asked::Lookup(id), Told::Owner(None)) => !self.has_row(state, id, call),
            (Asked::Fetch(at), Told::Done) => {
                state.facts.places[usize::from(at)] == Place::Under(at)
            }
            (Asked::List(at), Told::Listed(listed)) => {
                return self.listed(state, number, at, listed, Set::MAX);
            }
            (Asked::Remove { at, ids }, Told::NotThere) => {
                return self.listed(state, number, at, 0, ids);
            }
            (
                Asked::Fetch(at) | Asked::List(at) | Asked::Delete(at) | Asked::Remove { at, .. },
                told,
            ) => self.is_elsewhere(state, at, told),
            (Asked::Resolve { at: Some(at), .. }, Told::Moved(_)) => {
                self.is_elsewhere(state, at, told)
            }
            _ => false,
        };
        if is_over { OVER } else { progress }
    }

    /// The bits of identifiers whose presence or absence is explained by now; over, if all of `of` are and the profile was
    /// seen to be canonical.
    fn listed(&self, state: &State, number: usize, at: Profile, listed: Set, of: Set) -> u8 {
        // The bit after the last identifier stands for the profile itself.
        const HERE: u8 = 1 << IDENTIFIERS;
        let call = &self.problem.calls[number];
        let root = state.facts.places[usize::from(at)];
        let mut seen = state.progress[number];
        if root == Place::Under(at) {
            seen |= HERE;
        }
        for id in bits(of & (HERE - 1)) {
            let is_explained = if listed & (1 << id) == 0 {
                !self.has_row(state, id, call)
                    || state.facts.owners[usize::from(id)]
                        .is_none_or(|owner| root != Place::Under(owner))
            } else {
                let owners = self.owners(state, id, number);
                owners.into_iter().any(|owner| root == Place::Under(owner))
            };
            if is_explained {
                seen |= 1 << id;
            }
        }
        if seen == (of & (HERE - 1)) | HERE {
            OVER
        } else {
            seen
        }
    }

    /// Whether an identifier is somebody's, and a request that gave or found it there was answered before this one was sent: an
    /// identifier whose row may not be there yet is reported as nobody's.
    fn has_row(&self, state: &State, id: u8, call: &Call) -> bool {
        if state.facts.owners[usize::from(id)].is_none() {
            return false;
        }
        let Some(giver) = state.givers[usize::from(id)] else {
            return false;
        };
        let giver = &self.problem.calls[usize::from(giver)];
        giver
            .answered
            .is_some_and(|(answered, _)| answered < call.sent)
    }

    /// Whether a call that is not over yet may have overlapped this one.
    fn is_of_use(&self, progress: &[u8], releaser: usize) -> bool {
        let Some((answered, _)) = self.problem.calls[releaser].answered else {
            return true;
        };
        let open = self.problem.calls.iter().zip(progress);
        open.into_iter()
            .any(|(call, progress)| *progress != OVER && call.sent < answered)
    }

    /// Whether a profile is where an answer says that it is not.
    fn is_elsewhere(&self, state: &State, at: Profile, told: Told<Profile>) -> bool {
        match (state.facts.places[usize::from(at)], told) {
            (Place::Under(root), Told::Moved(to)) => root == to && root != at,
            (Place::Dead | Place::Unborn, Told::Gone) => true,
            (Place::Under(root), Told::Gone) => root == at && self.is_bare(state, at),
            _ => false,
        }
    }

    /// Whether a profile may have no row at all: it is alone, nothing leads to it, and nobody who wrote to it was answered. Its
    /// identifiers were claimed by somebody who came no further, and taken away since.
    fn is_bare(&self, state: &State, at: Profile) -> bool {
        let under = state.facts.places.iter();
        let is_alone = under.filter(|place| **place == Place::Under(at)).count() == 1;
        let is_named = state.facts.owners.contains(&Some(at));
        let mut calls = self.problem.calls.iter().zip(&state.progress);
        let is_written = calls.any(|(call, progress)| {
            *progress == OVER
                && match (call.asked, call.answered) {
                    (Asked::Resolve { .. }, Some((_, Told::At(profile))))
                    | (Asked::Change { at: profile, .. }, Some((_, Told::Done))) => profile == at,
                    // An item of a batch is not told whom it means.
                    (Asked::Resolve { at: named, .. }, Some((_, Told::Done))) => {
                        named.is_none_or(|named| named == at)
                    }
                    _ => false,
                }
        });
        is_alone && !is_named && !is_written
    }

    /// The live roots that a call may take for the owner of an identifier: the owner, and those before a release that it
    /// overlaps.
    fn owners(&self, state: &State, id: u8, number: usize) -> Vec<Profile> {
        let call = &self.problem.calls[number];
        let mut owners: Vec<Profile> = state.facts.owners[usize::from(id)].into_iter().collect();
        for (of, profile, releaser) in &state.stale {
            let released = self.problem.calls[usize::from(*releaser)].answered;
            let overlaps = released.is_none_or(|(answered, _)| call.sent < answered);
            if *of == id
                && overlaps
                && usize::from(*releaser) != number
                && let Place::Under(root) = state.facts.places[usize::from(*profile)]
                && !owners.contains(&root)
            {
                owners.push(root);
            }
        }
        owners
    }

    /// Every state that one step of one call leads to, the likelier first.
    fn moves(&self, state: &State) -> Vec<State> {
        let horizon = self.horizon(state);
        let mut calls: Vec<usize> = (0..self.problem.calls.len())
            .filter(|number| {
                state.progress[*number] != OVER && self.problem.calls[*number].sent <= horizon
            })
            .collect();
        calls.sort_by_key(|number| {
            let answered = self.problem.calls[*number].answered;
            answered.map_or(u64::MAX, |(answered, _)| answered)
        });
        let (mut last, mut partial) = (Vec::new(), Vec::new());
        for number in calls {
            self.moves_of(state, number, &mut last, &mut partial);
        }
        last.append(&mut partial);
        last
    }

    fn moves_of(
        &self,
        state: &State,
        number: usize,
        last: &mut Vec<State>,
        partial: &mut Vec<State>,
    ) {
        let call = &self.problem.calls[number];
        let told = call.answered.map(|(_, told)| told);
        match (call.asked, told) {
            (Asked::Resolve { ids, at }, told) => {
                self.resolve(state, number, (ids, at), told, (last, partial));
            }
            (Asked::Delete(at), None | Some(Told::Done))
                if state.facts.places[usize::from(at)] == Place::Under(at) =>
            {
                let mut next = over(state, number);
                kill(&mut next, at);
                match told {
                    Some(_) => last.push(next),
                    None => partial.push(next),
                }
            }
            (Asked::Remove { at, ids }, None | Some(Told::Done)) => {
                self.release(state, number, at, ids, told.is_some(), (last, partial));
            }
            (Asked::Change { at, old, new }, told) => {
                self.change(state, number, (at, old, new), told, (last, partial));
            }
            // What only looks was taken if it could be.
            _ => {}
        }
    }

    fn resolve(
        &self,
        state: &State,
        number: usize,
        (ids, at): (Set, Option<Profile>),
        told: Option<Told<Profile>>,
        (last, partial): (&mut Vec<State>, &mut Vec<State>),
    ) {
        if state.progress[number] == CONNECTED {
            self.evict(state, number, partial);
            if told.is_some() {
                last.push(over(state, number));
            }
            return;
        }
        let is_limited = !self.problem.limits.is_empty();
        if told == Some(Told::Gone) {
            if at.is_some_and(|at| self.is_elsewhere(state, at, Told::Gone)) {
                last.push(over(state, number));
            }
        } else if told.is_some() || is_limited {
            for (mut next, root) in self.connect(state, number, ids, at) {
                // The answer is in what was joined.
                if let Some(Told::At(profile)) = told
                    && next.facts.places[usize::from(profile)] != Place::Under(root)
                {
                    continue;
                }
                self.has_written(&mut next, number, ids);
                next.progress[number] = if is_limited { CONNECTED } else { OVER };
                match told {
                    Some(_) => last.push(next),
                    None => partial.push(next),
                }
            }
        }
        // Any number of connects of subsets before the last one; the profile that is named is one of the set.
        let mut subset = ids;
        while subset != 0 {
            for at in [at, None].into_iter().take(1 + usize::from(at.is_some())) {
                let connects = self.connect(state, number, subset, at);
                partial.extend(connects.into_iter().map(|(next, _)| next));
            }
            subset = (subset - 1) & ids;
        }
    }

    fn change(
        &self,
        state: &State,
        number: usize,
        (at, old, new): (Profile, u8, u8),
        told: Option<Told<Profile>>,
        (last, partial): (&mut Vec<State>, &mut Vec<State>),
    ) {
        let root = state.facts.places[usize::from(at)];
        let call = &self.problem.calls[number];
        match told {
            None | Some(Told::Done) if state.progress[number] != 0 => {
                self.evict(state, number, partial);
                self.release(state, number, at, 1 << old, told.is_some(), (last, partial));
            }
            Some(Told::NotThere)
                if !self.has_row(state, old, call)
                    || state.facts.owners[usize::from(old)]
                        .is_none_or(|owner| root != Place::Under(owner)) =>
            {
                last.push(over(state, number));
            }
            Some(Told::AlreadyHere)
                if self
                    .owners(state, new, number)
                    .into_iter()
                    .any(|owner| root == Place::Under(owner)) =>
            {
                last.push(over(state, number));
            }
            Some(told @ (Told::Moved(_) | Told::Gone)) if self.is_elsewhere(state, at, told) => {
                last.push(over(state, number));
            }
            _ => {}
        }
        for (mut next, _) in self.connect(state, number, 1 << new, Some(at)) {
            next.progress[number] = CONNECTED;
            partial.push(next);
        }
    }

    /// Takes one of these identifiers from the component of a profile.
    fn release(
        &self,
        state: &State,
        number: usize,
        at: Profile,
        ids: Set,
        is_answered: bool,
        (last, partial): (&mut Vec<State>, &mut Vec<State>),
    ) {
        let into = if is_answered { last } else { partial };
        for id in bits(ids) {
            let owner = state.facts.owners[usize::from(id)];
            if owner.map(Place::Under) == Some(state.facts.places[usize::from(at)]) {
                let mut next = over(state, number);
                take(&mut next, id, number);
                into.push(next);
            }
        }
        if is_answered && self.problem.calls[number].unsure {
            into.push(over(state, number));
        }
    }

    /// Takes one value away where there are too many of a type.
    fn evict(&self, state: &State, number: usize, into: &mut Vec<State>) {
        for (set, limit) in &self.problem.limits {
            for id in bits(*set) {
                let Some(owner) = state.facts.owners[usize::from(id)] else {
                    continue;
                };
                let held = bits(*set)
                    .filter(|other| state.facts.owners[usize::from(*other)] == Some(owner));
                if u32::try_from(held.count()).is_ok_and(|held| held > *limit) {
                    let mut next = state.clone();
                    take(&mut next, id, number);
                    into.push(next);
                }
            }
        }
    }

    /// A connect: joins all live components that hold one of these, gives free ones to the result, and makes a profile only
    /// if there was none. Every way in which this call may do it, each with the root of the result.
    fn connect(
        &self,
        state: &State,
        number: usize,
        ids: Set,
        at: Option<Profile>,
    ) -> Vec<(State, Profile)> {
        let mut named = Vec::new();
        if let Some(at) = at {
            let Place::Under(root) = state.facts.places[usize::from(at)] else {
                return Vec::new();
            };
            named.push(root);
        }
        // Each way: the roots, and what is free.
        let mut ways: Vec<(Vec<Profile>, Set)> = vec![(named, 0)];
        for id in bits(ids) {
            let owners = self.owners(state, id, number);
            let is_free = state.facts.owners[usize::from(id)].is_none();
            let mut next = Vec::new();
            for (roots, free) in &ways {
                if is_free {
                    next.push((roots.clone(), free | 1 << id));
                }
                for owner in &owners {
                    let mut roots = roots.clone();
                    roots.push(*owner);
                    next.push((roots, *free));
                }
            }
            ways = next;
        }
        let mut results = Vec::new();
        for (roots, free) in ways {
            match roots.iter().min() {
                Some(root) => {
                    let mut next = state.clone();
                    join(&mut next, &roots, *root);
                    give(&mut next, free, *root, number);
                    results.push((next, *root));
                }
                None => {
                    // Its own id is kept through its retries, also if a release took away what it had claimed for it.
                    for own in &self.problem.calls[number].makes {
                        let mut next = state.clone();
                        let root = match state.facts.places[usize::from(*own)] {
                            Place::Unborn => *own,
                            Place::Under(root) => root,
                            Place::Dead => continue,
                        };
                        next.facts.places[usize::from(*own)] = Place::Under(root);
                        give(&mut next, free, root, number);
                        results.push((next, root));
                    }
                }
            }
        }
        results
    }

    /// Whoever is answered has seen to the rows of its identifiers, also of those that somebody else gave.
    fn has_written(&self, state: &mut State, number: usize, ids: Set) {
        let Some((answered, _)) = self.problem.calls[number].answered else {
            return;
        };
        for id in bits(ids) {
            let giver = &mut state.givers[usize::from(id)];
            let is_later = giver.is_some_and(|giver| {
                let given = self.problem.calls[usize::from(giver)].answered;
                given.is_none_or(|(given, _)| given > answered)
            });
            if is_later {
                *giver = u8::try_from(number).ok();
            }
        }
    }
}

fn bits(set: Set) -> impl Iterator<Item = u8> {
    (0..8).filter(move |id| set & (1 << id) != 0)
}

fn over(state: &State, number: usize) -> State {
    let mut next = state.clone();
    next.progress[number] = OVER;
    next
}

fn kill(state: &mut State, root: Profile) {
    for place in &mut state.facts.places {
        if *place == Place::Under(root) {
            *place = Place::Dead;
        }
    }
    for (owner, giver) in state.facts.owners.iter_mut().zip(&mut state.givers) {
        if *owner == Some(root) {
            *owner = None;
            *giver = None;
        }
    }
    let places = &state.facts.places;
    state
        .stale
        .retain(|(_, profile, _)| places[usize::from(*profile)] != Place::Dead);
}

fn take(state: &mut State, id: u8, number: usize) {
    state.givers[usize::from(id)] = None;
    if let Some(owner) = state.facts.owners[usize::from(id)].take()
        && let Ok(number) = u8::try_from(number)
    {
        state.stale.push((id, owner, number));
    }
}

fn join(state: &mut State, roots: &[Profile], into: Profile) {
    for place in &mut state.facts.places {
        if matches!(place, Place::Under(root) if roots.contains(root)) {
            *place = Place::Under(into);
        }
    }
    for owner in state.facts.owners.iter_mut().flatten() {
        if roots.contains(owner) {
            *owner = into;
        }
    }
}

fn give(state: &mut State, free: Set, to: Profile, number: usize) {
    for id in bits(free) {
        state.facts.owners[usize::from(id)] = Some(to);
        state.givers[usize::from(id)] = u8::try_from(number).ok();
    }
}

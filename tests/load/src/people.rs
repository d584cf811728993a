//! Who is asked about when a service is measured: people that its own answers have named, and what each answer must be.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

/// Traits of `Contact` that are identifiers, in the order in which people get them.
const IDENTIFIERS: [&str; 4] = ["email", "phone", "whatsapp", "chatId"];
/// How many of them people are made with.
pub const KINDS: [usize; 3] = [1, 2, 4];
/// Of a hundred requests of a mixed load so many are about known people, and so many make new ones; the rest merge two.
const MIXED_KNOWN: usize = 90;
const MIXED_NEW: usize = 9;

/// What callers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// People whom nobody knows, with so many identifiers.
    New(usize),
    /// People who are known by all of so many identifiers, with another first name.
    Known(usize),
    /// 90 known, 9 new, 1 merge of a hundred.
    Mixed,
    /// A known person with one identifier more.
    Attach,
    /// Two known people who turn out to be one.
    Merge,
}

impl Load {
    /// All of them, in an order in which there is somebody to ask about.
    pub const ALL: [Self; 9] = [
        Self::New(1),
        Self::New(2),
        Self::New(4),
        Self::Known(1),
        Self::Known(2),
        Self::Known(4),
        Self::Mixed,
        Self::Attach,
        Self::Merge,
    ];

    /// Its name in figures.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::New(identifiers) => format!("new_{identifiers}"),
            Self::Known(identifiers) => format!("known_{identifiers}"),
            Self::Mixed => "mixed".to_owned(),
            Self::Attach => "attach".to_owned(),
            Self::Merge => "merge".to_owned(),
        }
    }

    /// Identifiers in a request; in most, where they differ.
    #[must_use]
    pub const fn identifiers(self) -> usize {
        match self {
            Self::New(identifiers) | Self::Known(identifiers) => identifiers,
            Self::Mixed => 1,
            Self::Attach | Self::Merge => 2,
        }
    }
}

/// A person of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Which one: what it is called follows from that.
    pub number: usize,
    /// How many identifiers it was made with.
    pub identifiers: usize,
    /// Its profile; empty until an answer names it.
    pub id: String,
}

/// A request, and who must be answered.
#[derive(Debug)]
pub struct Ask {
    /// The traits of `Contact`.
    pub contact: Value,
    /// Who: somebody new, if nobody has an id.
    pub who: Person,
}

/// The people of a store.
#[derive(Debug)]
pub struct People {
    next: usize,
    asked: usize,
    /// People that no load takes away: as many as ask at once do not meet.
    reserve: usize,
    /// Those of the first kind that the load under way does not take away.
    kept: usize,
    live: [Vec<Person>; KINDS.len()],
    ids: HashSet<String>,
    merged: usize,
}

impl People {
    /// Nobody. So many stay known whatever is asked for.
    #[must_use]
    pub fn none(reserve: usize) -> Self {
        Self {
            next: 0,
            asked: 0,
            reserve,
            kept: reserve,
            live: Default::default(),
            ids: HashSet::new(),
            merged: 0,
        }
    }

    /// How many were made, and how many of them were merged into others.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.ids.len(), self.merged)
    }

    /// People that nobody has changed since they were made.
    pub fn untouched(&self) -> impl Iterator<Item = &Person> {
        self.live.iter().flatten()
    }

    /// A load begins: those that it takes away are not those that it knows.
    pub fn begin(&mut self, load: Load) {
        let ones = self.live[0].len();
        self.kept = match load {
            Load::New(_) | Load::Known(_) => ones,
            Load::Mixed => ones - ones / 4,
            Load::Attach => ones / 2,
            Load::Merge => 0,
        }
        .max(self.reserve);
    }

    /// The next request of a load; `None` if there is nobody left for it.
    pub fn ask(&mut self, load: Load) -> Option<Ask> {
        self.asked += 1;
        let turn = self.asked % 100;
        match load {
            Load::New(identifiers) => Some(self.newcomer(identifiers)),
            Load::Known(identifiers) => self.known(identifiers),
            Load::Mixed if turn < MIXED_KNOWN => self.known(1),
            Load::Mixed if turn < MIXED_KNOWN + MIXED_NEW => Some(self.newcomer(1)),
            Load::Mixed => self.merge().or_else(|| self.known(1)),
            Load::Attach => self.attach(),
            Load::Merge => self.merge(),
        }
    }

    /// Somebody new was answered with an id.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn met(&mut self, person: Person) -> Result<()> {
        ensure!(
            self.ids.insert(person.id.clone()),
            "two new people have one id"
        );
        if let Some(place) = place_of(person.identifiers) {
            self.live[place].push(person);
        }
        Ok(())
    }

    fn newcomer(&mut self, identifiers: usize) -> Ask {
        let number = self.next;
        self.next += 1;
        let who = Person {
            number,
            identifiers,
            id: String::new(),
        };
        Ask {
            contact: contact(&who, &format!("Person {number}")),
            who,
        }
    }

    fn known(&mut self, identifiers: usize) -> Option<Ask> {
        let people = &self.live[place_of(identifiers)?];
        let people = match identifiers {
            1 => people.get(..self.kept).unwrap_or(people),
            _ => people,
        };
        // Neighbours in time are not neighbours in the store.
        let place = self.asked.wrapping_mul(7_919) % people.len().max(1);
        let who = people.get(place)?.clone();
        Some(Ask {
            contact: contact(&who, &format!("Known {}", self.asked)),
            who,
        })
    }

    fn attach(&mut self) -> Option<Ask> {
        let who = self.take_one()?;
        let with_phone = Person {
            identifiers: 2,
            ..who.clone()
        };
        Some(Ask {
            contact: contact(&with_phone, "Attached"),
            who,
        })
    }

    fn merge(&mut self) -> Option<Ask> {
        if self.live[1].len() <= self.reserve {
            return None;
        }
        let (one, two) = (self.take_one()?, self.live[1].pop()?);
        self.merged += 1;
        let (email, phone) = (contact(&one, ""), contact(&two, ""));
        let contact =
            json!({ "email": email["email"], "phone": phone["phone"], "firstName": "Merged" });
        // The texts of ids sort as the ids do, and the older one survives.
        let who = if one.id < two.id { one } else { two };
        Some(Ask { contact, who })
    }

    fn take_one(&mut self) -> Option<Person> {
        let ones = &mut self.live[0];
        if ones.len() > self.kept {
            ones.pop()
        } else {
            None
        }
    }
}

fn place_of(identifiers: usize) -> Option<usize> {
    KINDS.iter().position(|kind| *kind == identifiers)
}

/// What is said of a person.
#[must_use]
pub fn contact(person: &Person, first_name: &str) -> Value {
    let n = person.number;
    let values = [
        format!("pipeline-{n}@example.com"),
        format!("+1317{n:07}"),
        format!("whatsapp-{n}"),
        format!("chat-{n}"),
    ];
    let named = IDENTIFIERS.into_iter().zip(values).take(person.identifiers);
    let mut contact: Map<String, Value> = named
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    contact.insert("firstName".to_owned(), first_name.into());
    contact.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(each: usize, reserve: usize) -> People {
        let mut people = People::none(reserve);
        for kind in KINDS {
            for _ in 0..each {
                let mut who = people.ask(Load::New(kind)).unwrap().who;
                who.id = format!("{:04}", who.number);
                people.met(who).unwrap();
            }
        }
        people
    }

    #[test]
    fn known_people_are_asked_for_by_all_that_they_were_made_with() {
        let mut people = crowd(8, 2);
        for kind in KINDS {
            people.begin(Load::Known(kind));
            let ask = people.ask(Load::Known(kind)).unwrap();
            assert_eq!(ask.contact.as_object().unwrap().len(), kind + 1);
            assert!(!ask.who.id.is_empty());
        }
    }

    #[test]
    fn whoever_is_taken_away_is_not_asked_for_in_the_same_load() {
        let mut people = crowd(40, 2);
        people.begin(Load::Mixed);
        let (mut known, mut taken) = (HashSet::new(), Vec::new());
        for _ in 0..1_000 {
            let merged = people.counts().1;
            let ask = people.ask(Load::Mixed).unwrap();
            let email = ask.contact["email"].clone();
            if people.counts().1 > merged {
                taken.push(email);
            } else {
                known.insert(email);
            }
        }
        assert_eq!(taken.len(), 10);
        assert!(taken.iter().all(|email| !known.contains(email)));
    }

    #[test]
    fn a_merge_is_answered_with_the_older_one_and_some_stay() {
        let mut people = crowd(8, 3);
        people.begin(Load::Merge);
        let mut merges = 0;
        while let Some(ask) = people.ask(Load::Merge) {
            // Those with one identifier were made first.
            assert!(ask.who.number < 8);
            merges += 1;
        }
        assert_eq!((merges, people.counts()), (5, (24, 5)));
    }

    #[test]
    fn an_id_that_somebody_else_has_is_refused() {
        let mut people = crowd(1, 0);
        let twice = people.untouched().next().unwrap().clone();
        assert!(people.met(twice).is_err());
    }
}

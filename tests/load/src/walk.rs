//! A listing from its first page to its last, checked against who must be there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::id::ProfileId;

use crate::caller::Caller;
use crate::spread::Times;

/// The largest page that the API gives.
pub const PAGE_MAX: usize = 1_000;

/// What a walk found, once everybody was where they must be.
#[derive(Debug)]
pub struct Walk {
    /// Profiles listed.
    pub profiles: u64,
    /// Pages.
    pub pages: u64,
    /// The token of a page in the middle.
    pub middle: Option<String>,
    /// The token of the last page.
    pub last: Option<String>,
    /// The times of all pages.
    pub times: Times,
}

/// Walks a listing in the largest pages. Each profile must be there once, in order, and nobody else.
///
/// # Errors
/// When an answer is wrong.
pub async fn walk(caller: &Caller, expected: impl Iterator<Item = ProfileId>) -> Result<Walk> {
    let mut expected = expected.peekable();
    let mut found = Walk {
        profiles: 0,
        pages: 0,
        middle: None,
        last: None,
        times: Times::default(),
    };
    let mut tokens: Vec<String> = Vec::new();
    loop {
        let token = tokens.last().map(String::as_str);
        let (page, took): (_, Duration) = caller.page(PAGE_MAX, token).await?;
        found.pages += 1;
        found.times.push(took);
        for listed in &page.profiles {
            let id = expected.next().context("more are listed than live")?;
            ensure!(*listed == id.to_string(), "{listed} instead of {id}");
            found.profiles += 1;
        }
        match page.meta.next_token {
            Some(token) => tokens.push(token),
            None => break,
        }
    }
    ensure!(
        expected.next().is_none(),
        "only {} are listed",
        found.profiles
    );
    found.middle = tokens.get(tokens.len() / 2).cloned();
    found.last = tokens.pop();
    Ok(found)
}

/// Asks for one page again and again; it must be the same each time. Its times.
///
/// # Errors
/// When an answer is wrong.
pub async fn again(
    caller: &Caller,
    size: usize,
    token: Option<&str>,
    times: usize,
) -> Result<Times> {
    let mut taken = Times::default();
    let (first, _) = caller.page(size, token).await?;
    for _ in 0..times {
        let (page, took) = caller.page(size, token).await?;
        ensure!(page.profiles == first.profiles, "a page changed");
        taken.push(took);
    }
    Ok(taken)
}

/// Counts who is listed: each once, in order.
///
/// # Errors
/// When an answer is wrong.
pub async fn count(caller: &Caller) -> Result<u64> {
    let (mut profiles, mut newest, mut token) = (0, String::new(), None);
    loop {
        let (page, _) = caller.page(PAGE_MAX, token.as_deref()).await?;
        for listed in page.profiles {
            // The texts of ids sort as the ids do.
            ensure!(listed > newest, "{listed} after {newest}");
            newest = listed;
            profiles += 1;
        }
        token = page.meta.next_token;
        if token.is_none() {
            return Ok(profiles);
        }
    }
}

//! What a request costs on the standalone, with few profiles and with many, with merges and with traits.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kith_tests::api::Api;

use super::standalone_growth::fill;
use super::{folder, growth_sizes};
use crate::figure::Figure;
use crate::grown::{chain, define, with_traits};
use crate::process::{Standalone, idle, memory};
use crate::requests::{Comparison, Kind, People, Site};
use crate::settings::Settings;

pub(super) const ABOUT: &str = "One caller of `kith` processes on their embedded stores, one request after another, each with its check: known people, new people, Fetch by id, \
Lookup. Profiles: a process each with a thousandth, a hundredth, a tenth and all of `--growth-profiles`, written as in standalone-growth, half of them merged or deleted; \
asked for are those who never were. Merges: people whose profile is at the end of so many merges, each into the next older profile; the address is that of the youngest. \
Traits: people with so many traits beside three of `Contact`; new people bring as many. Sizes are measured in turns. Processor time is that of the process, its worker \
included, until it is idle again. Growth is the most of any size against the smallest size.";

pub(super) const NAME: &str = "standalone-requests";
/// What is asked of people who are there.
pub(super) const OF_THOSE_THERE: &[Kind] = &[Kind::Known, Kind::Get, Kind::Lookup];
/// The same, and new people.
pub(super) const ALL: &[Kind] = &[Kind::Known, Kind::New, Kind::Get, Kind::Lookup];
/// Traits of those who have many.
pub(super) const TRAITS: [u64; 3] = [1, 10, 95];

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let mut figures = with_profiles(settings, dir.path()).await?;
    let kith = Standalone::start(&dir.path().join("people"), dir.path()).await?;
    let api = Api::new(&format!("http://{}", kith.address))?;
    let more = with_people(settings, NAME, &api, |at, people, traits| Site {
        at,
        address: kith.address,
        process: &kith.process,
        people,
        traits,
    });
    figures.extend(more.await?);
    kith.stop().await?;
    Ok(figures)
}

async fn with_profiles(settings: &Settings, dir: &Path) -> Result<Vec<Figure>> {
    let mut stores = Vec::new();
    for profiles in growth_sizes(settings.growth_profiles) {
        let data = dir.join(profiles.to_string());
        fill(&data, profiles).await?;
        let kith = Standalone::start(&data, dir).await?;
        idle(&kith.process).await?;
        stores.push((profiles, kith));
    }
    let sites = stores.iter().map(|(profiles, kith)| Site {
        at: *profiles,
        address: kith.address,
        process: &kith.process,
        people: People::Population(*profiles),
        traits: 0,
    });
    let comparison = Comparison {
        case: NAME,
        chart: "profiles",
        sites: sites.collect(),
        kinds: ALL,
    };
    let limit = Duration::from_millis(settings.growth_ms);
    let mut figures = comparison.figures(settings.repetitions, limit).await?;
    for (profiles, kith) in stores {
        let peak = memory(&kith.process)?.peak;
        let case = format!("{NAME}.memory_with_{profiles}_profiles");
        figures.push(Figure::shown(&case, peak, "MiB").on("profiles", "memory", profiles as f64));
        kith.stop().await?;
    }
    Ok(figures)
}

/// The comparisons of people who are made through the API.
pub(super) async fn with_people<'a>(
    settings: &Settings,
    case: &'a str,
    api: &Api,
    site: impl Fn(u64, People, u64) -> Site<'a>,
) -> Result<Vec<Figure>> {
    define(api).await?;
    let mut chains = Vec::new();
    for merges in [1, 10, 100, 1_000] {
        if merges <= settings.growth_merges {
            let person = chain(api, merges).await?;
            chains.push(site(merges, People::Listed(vec![person]), 0));
        }
    }
    let mut many = Vec::new();
    for traits in TRAITS {
        let people = with_traits(api, settings.growth_people, traits).await?;
        many.push(site(traits, People::Listed(people), traits));
    }
    let limit = Duration::from_millis(settings.growth_ms);
    let mut figures = Vec::new();
    for (chart, sites, kinds) in [("merges", chains, OF_THOSE_THERE), ("traits", many, ALL)] {
        let comparison = Comparison {
            case,
            chart,
            sites,
            kinds,
        };
        figures.extend(comparison.figures(settings.repetitions, limit).await?);
    }
    Ok(figures)
}

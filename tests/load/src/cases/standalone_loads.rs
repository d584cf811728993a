//! Creates of all kinds on the standalone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;

use super::folder;
use super::standalone_loops::{Looped, Series};
use crate::asking::{ask, check, settle};
use crate::figure::Figure;
use crate::people::{KINDS, Load, People};
use crate::process::{Standalone, memory};
use crate::settings::Settings;

pub(super) const ABOUT: &str = "The loads of pipeline-create at one `kith` process on its embedded store, where every answer is on the disk before it is given: so many \
callers of Create Profile at once, each with a connection of its own and one request after another. The number in a name is that of the identifiers of a request, \
beside which it has a first name: `new` people nobody knows, `known` ones are sent with another first name, `attach` is a known person with one identifier more, \
`merge` two known people who turn out to be one, `mixed` are 90 known, 9 new and 1 merge of a hundred. Every loop begins when the process is idle, and processor time is \
that of the process, its worker included, until it is idle again. Repetitions of all loops are interleaved; medians. A loop ends early when nobody is left to attach to or to merge. \
New people get ids that nobody else has, all others the id that they must have; at the end as many are listed as there are, and of every \
fiftieth that nobody changed all identifiers lead to it.";

const NAME: &str = "standalone-loads";

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let kith = Standalone::start(&dir.path().join("data"), dir.path()).await?;
    let at_once = settings.in_flight;
    let people = Arc::new(Mutex::new(People::none(at_once)));
    settle(kith.address, &people, &KINDS, at_once).await?;
    let limit = Duration::from_millis(settings.loop_ms);
    let mut all: [Series; Load::ALL.len()] = Default::default();
    for _ in 0..settings.repetitions {
        for (load, series) in Load::ALL.into_iter().zip(&mut all) {
            let looped = async {
                let asked = ask(kith.address, &people, load, at_once, limit, None).await?;
                Ok(Looped {
                    rate: asked.rate,
                    times: asked.times,
                    more: (),
                })
            };
            series.measure(&kith, looped).await?;
        }
    }
    check(&kith.caller, &people).await?;
    let memory = memory(&kith.process)?;
    kith.stop().await?;

    let mut figures = Vec::new();
    for (load, series) in Load::ALL.into_iter().zip(all) {
        figures.extend(series.figures(NAME, &load.name()));
    }
    let name = format!("{NAME}.memory_at_most");
    figures.push(Figure::shown(&name, memory.peak, "MiB"));
    Ok(figures)
}

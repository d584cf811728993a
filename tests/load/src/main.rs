//! `make bench`: runs cases, says what they found, and writes it down.

#![expect(clippy::print_stdout, reason = "figures are the answer to a command")]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use kith_load::cases::Case;
use kith_load::report::Summary;
use kith_load::run;
use kith_load::settings::Settings;

fn main() -> Result<ExitCode> {
    let settings = Settings::parse();
    let cases = Case::chosen(&settings.cases)?;
    for (is_asked, needs) in [
        (
            settings.servers_needed,
            Case::needs_servers as fn(Case) -> bool,
        ),
        (settings.postgres_needed, Case::needs_postgres),
    ] {
        if is_asked {
            let needed = cases.into_iter().any(needs);
            return Ok(ExitCode::from(u8::from(!needed)));
        }
    }
    if settings.page_only {
        Summary::read(&settings.out)?.write(&settings.out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(&settings, |figure| {
        let met = match figure.met {
            Some(true) => "  met",
            Some(false) => "  MISSED",
            None => "",
        };
        println!("{} = {} {}{met}", figure.case, figure.value, figure.unit);
    }))?;
    Ok(ExitCode::SUCCESS)
}

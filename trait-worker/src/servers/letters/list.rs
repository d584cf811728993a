//! `list`.

use clap::Args;
use kith_kafka::{Buried, KafkaConfig, buried};
use kith_runtime::lifecycle::{ComponentError, Exit};

use super::select::{Select, Survey};
use super::{CLOSE, letter, next};
use crate::servers::command::say;

/// What is printed, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct List {
    #[command(flatten)]
    select: Select,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints the letters that are meant. The topic is read twice, so that memory does not depend on the letters: once for what
/// was redriven, which is told behind them.
pub(super) async fn run(list: &List, kafka: &KafkaConfig) -> Result<Exit, ComponentError> {
    let survey = Survey::make(&list.select, kafka).await?;
    let mut left = list.select.limit().min(survey.meant);
    let mut reader = list.select.open(kafka).await?;
    while left > 0 {
        let records = next(&mut reader).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let Buried::Letter(one) = buried(record) else {
                continue;
            };
            if left == 0 || !list.select.takes(&one) {
                continue;
            }
            left -= 1;
            let is_redriven = survey.is_redriven(&one);
            if list.json {
                say(&letter::object(&one, is_redriven).to_string())?;
            } else {
                say(&letter::line(&one, is_redriven))?;
            }
        }
    }
    reader.close(CLOSE).await?;
    Ok(Exit::Clean)
}

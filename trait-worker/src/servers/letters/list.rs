//! `list`.

use kith_kafka::{KafkaConfig, buried};
use kith_profiles::letters::Buried;
use kith_runtime::lifecycle::{ComponentError, Exit};
use kith_runtime::output::say;
use trait_worker::letters::List;

use super::survey::{open, survey};
use super::{CLOSE, next};

/// Prints the letters that are meant. The topic is read twice, so that memory does not depend on the letters: once for what
/// was redriven, which is told behind them.
pub(super) async fn run(list: &List, kafka: &KafkaConfig) -> Result<Exit, ComponentError> {
    let survey = survey(&list.select, kafka).await?;
    let mut left = list.select.limit().min(survey.meant());
    let mut reader = open(&list.select, kafka).await?;
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
            say(&list.print(&one, survey.is_redriven(&one)))?;
        }
    }
    reader.close(CLOSE).await?;
    Ok(Exit::Clean)
}

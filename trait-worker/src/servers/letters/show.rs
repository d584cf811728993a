//! `show`.

use std::collections::BTreeMap;

use kith_kafka::{KafkaConfig, ReadFrom, TopicReader, buried};
use kith_profiles::letters::Buried;
use kith_runtime::lifecycle::{ComponentError, Exit};
use kith_runtime::output::{note, say};
use trait_worker::letters::{Show, Survey, details};

use super::{CLOSE, next};

/// Prints one letter.
pub(super) async fn run(show: &Show, kafka: &KafkaConfig) -> Result<Exit, ComponentError> {
    let (partition, offset) = show.letter;
    let from = ReadFrom::Offsets(BTreeMap::from([(partition, offset.as_i64())]));
    let mut reader = TopicReader::open(kafka, &kafka.dead_letter_topic(), &from).await?;
    let (mut found, mut survey) = (None, Survey::default());
    loop {
        // Behind the letter stands whether it was redriven.
        let records = next(&mut reader).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            match buried(record) {
                Buried::Letter(letter) if letter.offset == offset => found = Some(letter),
                Buried::Letter(_) => {}
                Buried::Receipt(partition, letters) => survey.redriven(partition, letters),
            }
        }
    }
    reader.close(CLOSE).await?;
    let Some(letter) = found else {
        note(&format!(
            "there is no letter {}:{}",
            partition.0,
            offset.as_i64()
        ));
        return Ok(Exit::Failed);
    };
    for line in details(&letter, survey.is_redriven(&letter), show.bytes) {
        say(&line)?;
    }
    Ok(Exit::Clean)
}

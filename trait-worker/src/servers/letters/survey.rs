//! Everything that may be meant, read once.

use std::collections::BTreeMap;

use kith_kafka::{KafkaConfig, ReadFrom, TopicReader, buried};
use kith_profiles::letters::Buried;
use kith_runtime::lifecycle::ComponentError;
use trait_worker::letters::{Select, Survey};

use super::{CLOSE, next};

/// A reader over all the letters that may be meant, and the receipts behind them.
pub(super) async fn open(
    select: &Select,
    kafka: &KafkaConfig,
) -> Result<TopicReader, ComponentError> {
    let from = match (select.partition(), select.since()) {
        (Some(partition), _) => ReadFrom::Offsets(BTreeMap::from([(partition, 0)])),
        (None, Some(since)) => ReadFrom::Time(since),
        (None, None) => ReadFrom::Earliest,
    };
    Ok(TopicReader::open(kafka, &kafka.dead_letter_topic(), &from).await?)
}

/// Reads all of it.
pub(super) async fn survey(select: &Select, kafka: &KafkaConfig) -> Result<Survey, ComponentError> {
    let mut reader = open(select, kafka).await?;
    let mut survey = Survey::default();
    loop {
        let records = next(&mut reader).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            match buried(record) {
                Buried::Letter(letter) => survey.letter(&letter, select),
                Buried::Receipt(partition, letters) => survey.redriven(partition, letters),
            }
        }
    }
    reader.close(CLOSE).await?;
    Ok(survey)
}

//! What the log knows of the disks of instances: the highest generation each was reported with. It is raised in the transaction
//! of the lease that reports it and read in that of a release of keys, so what a guest is told is never behind the log.
//! Refuses a lease that reports less.

use super::LogError;
use crate::store::{StoreError, bigint, stored, unsigned};
use kms_types::{AppId, DiskGeneration, DiskMark, InstanceId};
use kms_wire::{LogEntry, ReleaseKind};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

type Instance = (AppId, InstanceId);

/// Entries as they are to be logged; an error in the place of one that is refused.
pub(super) async fn settle<'a>(
    connection: &mut AnyConnection,
    entries: impl Iterator<Item = &'a LogEntry> + Clone,
) -> Result<Vec<Result<LogEntry, LogError>>, StoreError> {
    let concerned: BTreeSet<Instance> = entries
        .clone()
        .filter(|entry| entry.kind == ReleaseKind::AppKeys || entry.disk_generation.is_some())
        .map(instance)
        .collect();
    let concerned: Vec<Instance> = concerned.into_iter().collect();
    let mut known = read(connection, &concerned).await?;
    let mut raised = BTreeSet::new();
    let settled = entries.map(|entry| {
        let key = instance(entry);
        let highest = known.get(&key).copied();
        let mut entry = entry.clone();
        match (entry.kind, entry.disk_generation) {
            // K7: what the guest is told about its disk is what its owner finds in the log.
            (ReleaseKind::AppKeys, _) => entry.disk_generation = highest,
            (_, None) => {}
            // G4: a guest that was held between its keys and its disk may come with a disk that was newest at the time; of two copies
            // that were counted on apart only the first to report goes on.
            (_, Some(actual)) => {
                if let Some(expected) = highest.filter(|highest| !actual.follows(highest)) {
                    return Err(LogError::SetBack { expected, actual });
                }
                known.insert(key, actual);
                raised.insert(key);
            }
        }
        Ok(entry)
    });
    let settled = settled.collect();
    let rows: Vec<(Instance, DiskGeneration)> = raised
        .into_iter()
        .filter_map(|key| Some((key, *known.get(&key)?)))
        .collect();
    raise(connection, &rows).await?;
    Ok(settled)
}

const fn instance(entry: &LogEntry) -> Instance {
    (entry.app_id, entry.instance_id)
}

async fn read(
    connection: &mut AnyConnection,
    instances: &[Instance],
) -> Result<BTreeMap<Instance, DiskGeneration>, StoreError> {
    let mut known = BTreeMap::new();
    for chunk in super::writer::chunks(instances) {
        let rows: Vec<String> = (0..chunk.len())
            .map(|row| format!("(${}, ${})", row * 2 + 1, row * 2 + 2))
            .collect();
        let sql = format!(
            "SELECT app_id, instance_id, generation, mark FROM disk_generations WHERE (app_id, instance_id) IN (VALUES {})",
            rows.join(", ")
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (app, instance) in chunk {
            query = query.bind(app.to_plain_hex()).bind(instance.to_plain_hex());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let app = stored("an app id", &row.try_get::<String, _>("app_id")?)?;
            let instance = stored("an instance id", &row.try_get::<String, _>("instance_id")?)?;
            let generation = DiskGeneration {
                number: unsigned(row.try_get("generation")?)?,
                mark: DiskMark::new(stored("a disk mark", &row.try_get::<String, _>("mark")?)?),
            };
            known.insert((AppId::new(app), InstanceId::new(instance)), generation);
        }
    }
    Ok(known)
}

async fn raise(
    connection: &mut AnyConnection,
    rows: &[(Instance, DiskGeneration)],
) -> Result<(), StoreError> {
    for chunk in super::writer::chunks(rows) {
        let values: Vec<String> = (0..chunk.len())
            .map(|row| {
                let [app, instance, generation, mark] = [1, 2, 3, 4].map(|column| row * 4 + column);
                format!("(${app}, ${instance}, ${generation}, ${mark})")
            })
            .collect();
        let sql = format!(
            "INSERT INTO disk_generations (app_id, instance_id, generation, mark) VALUES {} ON CONFLICT (app_id, instance_id) DO UPDATE SET generation = excluded.generation, mark = excluded.mark \
             WHERE excluded.generation >= disk_generations.generation",
            values.join(", ")
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for ((app, instance), generation) in chunk {
            query = query
                .bind(app.to_plain_hex())
                .bind(instance.to_plain_hex())
                .bind(bigint(generation.number)?)
                .bind(generation.mark.to_plain_hex());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

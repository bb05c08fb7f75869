//! What the log knows of the disks of instances: the highest generation each was reported with. It is raised in the transaction
//! of the lease that reports it and read in that of a release of keys, so what a guest is told is never behind the log.
//! Refuses a lease that reports less.

use super::LogError;
use crate::store::{StoreError, bigint, stored, unsigned};
use kms_types::{AppId, InstanceId};
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
            // G4: a guest that was held between its keys and its disk may come with a disk that was newest at the time.
            (_, Some(actual)) if highest.is_some_and(|highest| actual < highest) => {
                let expected = highest.unwrap_or_default();
                return Err(LogError::SetBack { expected, actual });
            }
            (_, Some(actual)) => {
                known.insert(key, actual);
                raised.insert(key);
            }
        }
        Ok(entry)
    });
    let settled = settled.collect();
    let rows: Vec<(Instance, u64)> = raised
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
) -> Result<BTreeMap<Instance, u64>, StoreError> {
    let mut known = BTreeMap::new();
    for chunk in super::writer::chunks(instances) {
        let rows: Vec<String> = (0..chunk.len())
            .map(|row| format!("(${}, ${})", row * 2 + 1, row * 2 + 2))
            .collect();
        let sql = format!(
            "SELECT app_id, instance_id, generation FROM disk_generations WHERE (app_id, instance_id) IN (VALUES {})",
            rows.join(", ")
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (app, instance) in chunk {
            query = query.bind(app.to_plain_hex()).bind(instance.to_plain_hex());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let app = stored("an app id", &row.try_get::<String, _>("app_id")?)?;
            let instance = stored("an instance id", &row.try_get::<String, _>("instance_id")?)?;
            known.insert(
                (AppId::new(app), InstanceId::new(instance)),
                unsigned(row.try_get("generation")?)?,
            );
        }
    }
    Ok(known)
}

async fn raise(connection: &mut AnyConnection, rows: &[(Instance, u64)]) -> Result<(), StoreError> {
    for chunk in super::writer::chunks(rows) {
        let sql = format!(
            "{} ON CONFLICT (app_id, instance_id) DO UPDATE SET generation = excluded.generation \
             WHERE excluded.generation > disk_generations.generation",
            super::writer::insert_sql("disk_generations (app_id, instance_id, generation)", chunk.len())
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for ((app, instance), generation) in chunk {
            query = query
                .bind(app.to_plain_hex())
                .bind(instance.to_plain_hex())
                .bind(bigint(*generation)?);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

//! What runs measured, in SQLite: totals, their course in time, runs and events. Computes no figure.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::columns::{Columns, stored_count};
use super::failure::During;
use super::pool::Database;
use super::stock::take_stock_in;
use crate::domain::instant::{DAY_S, HOUR_S, SECOND_US};
use crate::domain::job::JobId;
use crate::domain::metric::{
    BUCKET_BOUNDS, EventCount, Histogram, Keeping, Metric, MetricKind, MetricPoint, MetricSeries,
    RunCommand, RunRecord, Sample, Stock,
};
use crate::domain::ports::{MetricsBatch, MetricsRepository, Retention, StoreError};
use crate::infrastructure::disk::free_bytes;

/// Measurements in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteMetricsRepository {
    database: Database,
}

impl SqliteMetricsRepository {
    /// The measurements of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl MetricsRepository for SqliteMetricsRepository {
    fn add(&self, batch: &MetricsBatch, at_us: i64) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.database.write(|transaction| {
            add_in(transaction, batch, at_us).during(transaction, "keep measurements")
        })
    }

    fn list_totals(&self) -> Result<Vec<(MetricSeries, Sample)>, StoreError> {
        let mut totals = self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<Option<(MetricSeries, Sample)>>> {
                conn.prepare_cached(
                    "SELECT name, label_values, value, buckets
                     FROM metric_total JOIN metric_series USING (metric_series_id)",
                )?
                .query_map([], |row| {
                    let mut columns = Columns::of(row);
                    let series = series(&mut columns)?;
                    let stored = (columns.take()?, columns.take()?);
                    Ok(series.map(|series| {
                        let sample = sample_of(series.metric, stored);
                        (series, sample)
                    }))
                })?
                .collect()
            };
            list().during(conn, "list totals")
        })?;
        totals.sort_by(|a, b| a.as_ref().map(|a| &a.0).cmp(&b.as_ref().map(|b| &b.0)));
        Ok(totals.into_iter().flatten().collect())
    }

    fn list_points(
        &self,
        metric: Metric,
        start_s: i64,
        end_s: i64,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<Option<MetricPoint>>> {
                conn.prepare_cached(
                    "SELECT name, label_values, value, buckets, start_s, length_s
                     FROM metric_series JOIN metric_point USING (metric_series_id)
                     WHERE name = ? AND start_s >= ? AND start_s < ?
                     ORDER BY start_s, label_values",
                )?
                .query_map(params![metric.name(), start_s, end_s], |row| {
                    let mut columns = Columns::of(row);
                    let series = series(&mut columns)?;
                    let stored = (columns.take()?, columns.take()?);
                    let (start_s, length_s) = (columns.take()?, columns.take()?);
                    Ok(series.map(|series| MetricPoint {
                        sample: sample_of(series.metric, stored),
                        series,
                        start_s,
                        length_s,
                    }))
                })?
                .collect()
            };
            let points = list().during(conn, "list measurements")?;
            Ok(points.into_iter().flatten().collect())
        })
    }

    fn list_runs(&self, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<RunRecord>> {
                conn.prepare_cached(&format!(
                    "SELECT run_key, command, dataset, job_id, started_us, last_seen_us, outcome, rows, failures
                     FROM run WHERE {} ORDER BY started_us DESC, run_key DESC LIMIT ?",
                    of_a_known_command()
                ))?
                .query_map([limit], run)?
                .collect()
            };
            list().during(conn, "list runs")
        })
    }

    fn list_event_counts(&self) -> Result<Vec<EventCount>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<EventCount>> {
                conn.prepare_cached(
                    "SELECT event, subscriber, delivered, failed, slowest_us
                     FROM event_count ORDER BY event, subscriber",
                )?
                .query_map([], |row| {
                    let mut columns = Columns::of(row);
                    Ok(EventCount {
                        event: columns.take()?,
                        subscriber: columns.take()?,
                        delivered: columns.count()?,
                        failed: columns.count()?,
                        slowest_us: columns.count()?,
                    })
                })?
                .collect()
            };
            list().during(conn, "list events")
        })
    }

    fn roll_up(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        let days_ago_s = |days: u32| now_us.div_euclid(SECOND_US) - i64::from(days) * DAY_S;
        let old = Old {
            // Whole hours only: none is rolled up twice.
            raw_until_s: days_ago_s(retention.raw_days).div_euclid(HOUR_S) * HOUR_S,
            until_s: days_ago_s(retention.raw_days.max(retention.hourly_days)),
        };
        // Looking first costs no lock, and others may write between one series and the next: there can be millions of
        // points.
        let (series, has_runs) = self.database.read(|conn| {
            list_old_in(conn, old)
                .and_then(|series| Ok((series, has_old_runs_in(conn, old)?)))
                .during(conn, "look for old measurements")
        })?;
        for (id, series) in series {
            self.database.write(|transaction| {
                roll_up_in(transaction, id, series.as_ref(), old)
                    .during(transaction, "roll up measurements")
            })?;
        }
        if has_runs {
            self.database.write(|transaction| {
                forget_runs_in(transaction, old).during(transaction, "forget old runs")
            })?;
        }
        Ok(())
    }

    fn take_stock(&self) -> Result<Stock, StoreError> {
        let stock = self
            .database
            .read(|conn| take_stock_in(conn).during(conn, "count what is stored"))?;
        Ok(Stock {
            free_bytes: free_bytes(self.database.path()),
            ..stock
        })
    }
}

fn add_in(transaction: &Transaction<'_>, batch: &MetricsBatch, at_us: i64) -> rusqlite::Result<()> {
    // A point of the history each, and one step of the total for all of a series.
    let mut totals: BTreeMap<&MetricSeries, Sample> = BTreeMap::new();
    let mut ids: BTreeMap<&MetricSeries, i64> = BTreeMap::new();
    for point in &batch.points {
        let id = match ids.get(&point.series) {
            Some(&id) => id,
            None => *ids
                .entry(&point.series)
                .or_insert(metric_series_id_in(transaction, &point.series)?),
        };
        match totals.get_mut(&point.series) {
            Some(total) => total.merge(&point.sample),
            None => _ = totals.insert(&point.series, point.sample.clone()),
        }
        if point.series.metric.text().keeping == Keeping::History {
            add_point(transaction, id, point)?;
        }
    }
    for (series, sample) in totals {
        add_to_total(transaction, ids[series], (series.metric, sample), at_us)?;
    }
    let mut put_run = transaction.prepare_cached(
        "INSERT OR REPLACE INTO run
             (run_key, command, dataset, job_id, started_us, last_seen_us, outcome, rows, failures)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for run in &batch.runs {
        put_run.execute(params![
            run.key,
            run.command.as_str(),
            run.dataset.as_ref().map(ToString::to_string),
            run.job.map(|job| job.0),
            run.started_us,
            run.last_seen_us,
            run.outcome,
            stored_count(run.rows),
            stored_count(run.failures),
        ])?;
    }
    let mut put_event = transaction.prepare_cached(
        "INSERT INTO event_count (event, subscriber, delivered, failed, slowest_us)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET delivered = delivered + excluded.delivered,
             failed = failed + excluded.failed, slowest_us = max(slowest_us, excluded.slowest_us)",
    )?;
    for event in &batch.events {
        put_event.execute(params![
            event.event,
            event.subscriber,
            stored_count(event.delivered),
            stored_count(event.failed),
            stored_count(event.slowest_us),
        ])?;
    }
    Ok(())
}

fn metric_series_id_in(
    transaction: &Transaction<'_>,
    series: &MetricSeries,
) -> rusqlite::Result<i64> {
    let name = series.metric.name();
    let values = serde_json::Value::from(series.values.clone()).to_string();
    let known = transaction
        .prepare_cached(
            "SELECT metric_series_id FROM metric_series WHERE name = ? AND label_values = ?",
        )?
        .query_row(params![name, values], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction
        .prepare_cached("INSERT INTO metric_series (name, label_values) VALUES (?, ?)")?
        .insert(params![name, values])
}

fn add_point(transaction: &Transaction<'_>, id: i64, point: &MetricPoint) -> rusqlite::Result<()> {
    let place = params![id, point.length_s, point.start_s];
    let kept = transaction
        .prepare_cached(
            "SELECT value, buckets FROM metric_point
             WHERE metric_series_id = ? AND length_s = ? AND start_s = ?",
        )?
        .query_row(place, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let sample = merged(point.series.metric, kept, &point.sample);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO metric_point (metric_series_id, length_s, start_s, value, buckets)
             VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            point.length_s,
            point.start_s,
            sample.number(),
            buckets_of(&sample)
        ])?;
    Ok(())
}

fn add_to_total(
    transaction: &Transaction<'_>,
    id: i64,
    (metric, sample): (Metric, Sample),
    at_us: i64,
) -> rusqlite::Result<()> {
    let kept = transaction
        .prepare_cached("SELECT value, buckets FROM metric_total WHERE metric_series_id = ?")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let sample = merged(metric, kept, &sample);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO metric_total (metric_series_id, value, buckets, updated_at_us)
             VALUES (?, ?, ?, ?)",
        )?
        .execute(params![id, sample.number(), buckets_of(&sample), at_us])?;
    Ok(())
}

/// Up to when measurements are old, UTC seconds.
#[derive(Debug, Clone, Copy)]
struct Old {
    /// Points that begin before it become hours.
    raw_until_s: i64,
    /// What begins before it is forgotten.
    until_s: i64,
}

/// The series of which something is old, `None` for one of a metric that this version does not have: its points stay as
/// they are until they are forgotten.
fn list_old_in(conn: &Connection, old: Old) -> rusqlite::Result<Vec<(i64, Option<MetricSeries>)>> {
    let mut found = Vec::new();
    let mut list = conn.prepare_cached(
        "SELECT metric_series_id, name, label_values, min(start_s) < ?1
         FROM metric_point JOIN metric_series USING (metric_series_id)
         WHERE start_s < ?1 OR (length_s < ?2 AND start_s < ?3) GROUP BY metric_series_id",
    )?;
    let mut rows = list.query([old.until_s, HOUR_S, old.raw_until_s])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let (id, series) = (columns.take()?, series(&mut columns)?);
        let is_forgotten: bool = columns.take()?;
        if series.is_some() || is_forgotten {
            found.push((id, series));
        }
    }
    Ok(found)
}

/// Forgets the points of a series that are too old, and adds up to hours those that are old.
fn roll_up_in(
    transaction: &Transaction<'_>,
    id: i64,
    series: Option<&MetricSeries>,
    old: Old,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM metric_point WHERE metric_series_id = ? AND start_s < ?")?
        .execute([id, old.until_s])?;
    let Some(series) = series else {
        return Ok(());
    };
    let raw = [id, HOUR_S, old.raw_until_s];
    let mut hours: BTreeMap<i64, Sample> = BTreeMap::new();
    let mut points = transaction.prepare_cached(
        "SELECT start_s, value, buckets FROM metric_point
         WHERE metric_series_id = ? AND length_s < ? AND start_s < ? ORDER BY start_s",
    )?;
    let mut rows = points.query(raw)?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let start_s = columns.take::<i64>()?.div_euclid(HOUR_S) * HOUR_S;
        let sample = sample_of(series.metric, (columns.take()?, columns.take()?));
        match hours.get_mut(&start_s) {
            Some(hour) => hour.merge(&sample),
            None => _ = hours.insert(start_s, sample),
        }
    }
    for (start_s, sample) in hours {
        let hour = MetricPoint {
            series: series.clone(),
            start_s,
            length_s: HOUR_S,
            sample,
        };
        add_point(transaction, id, &hour)?;
    }
    transaction
        .prepare_cached(
            "DELETE FROM metric_point WHERE metric_series_id = ? AND length_s < ? AND start_s < ?",
        )?
        .execute(raw)?;
    Ok(())
}

fn has_old_runs_in(conn: &Connection, old: Old) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT * FROM run WHERE started_us < ?)")?
        .query_row([old.until_us()], |row| row.get(0))
}

fn forget_runs_in(transaction: &Transaction<'_>, old: Old) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM run WHERE started_us < ?")?
        .execute([old.until_us()])?;
    Ok(())
}

impl Old {
    const fn until_us(self) -> i64 {
        self.until_s.saturating_mul(SECOND_US)
    }
}

/// The next two columns as a series; `None` for one of a metric that this version does not have.
fn series(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Option<MetricSeries>> {
    let name: String = columns.take()?;
    let values = columns.converted("list of labels", |text: String| {
        serde_json::from_str::<Vec<String>>(&text).ok()
    })?;
    let metric = name.parse::<Metric>().ok();
    Ok(metric
        .filter(|metric| metric.text().labels.len() == values.len())
        .map(|metric| MetricSeries { metric, values }))
}

fn sample_of(metric: Metric, (value, buckets): (f64, Option<String>)) -> Sample {
    match metric.text().kind {
        MetricKind::Counter => Sample::Counter(value),
        MetricKind::Gauge => Sample::Gauge(value),
        MetricKind::Histogram => {
            let mut histogram = Histogram {
                sum: value,
                ..Histogram::default()
            };
            for (bucket, count) in buckets.unwrap_or_default().split(' ').filter_map(|pair| {
                let (bucket, count) = pair.split_once(':')?;
                Some((bucket.parse::<usize>().ok()?, count.parse::<u64>().ok()?))
            }) {
                histogram.counts[bucket.min(BUCKET_BOUNDS.len())] += count;
            }
            Sample::Histogram(Box::new(histogram))
        }
    }
}

/// The buckets that are not empty.
fn buckets_of(sample: &Sample) -> Option<String> {
    let Sample::Histogram(histogram) = sample else {
        return None;
    };
    let filled = histogram.counts.iter().enumerate();
    let pairs: Vec<String> = filled
        .filter(|&(_, &count)| count > 0)
        .map(|(bucket, count)| format!("{bucket}:{count}"))
        .collect();
    Some(pairs.join(" "))
}

fn merged(metric: Metric, kept: Option<(f64, Option<String>)>, sample: &Sample) -> Sample {
    kept.map_or_else(
        || sample.clone(),
        |kept| {
            let mut kept = sample_of(metric, kept);
            kept.merge(sample);
            kept
        },
    )
}

/// The condition that a run is of a command that this program knows: a newer one may have others, without a new schema.
pub(super) fn of_a_known_command() -> String {
    let names = RunCommand::ALL.map(|command| format!("'{command}'"));
    format!("command IN ({})", names.join(", "))
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let mut columns = Columns::of(row);
    Ok(RunRecord {
        key: columns.take()?,
        command: columns.parsed()?,
        dataset: columns.converted("dataset", |text: Option<String>| match text {
            None => Some(None),
            Some(text) => text.parse().ok().map(Some),
        })?,
        job: columns.take::<Option<i64>>()?.map(JobId),
        started_us: columns.take()?,
        last_seen_us: columns.take()?,
        outcome: columns.take()?,
        rows: columns.count()?,
        failures: columns.count()?,
    })
}

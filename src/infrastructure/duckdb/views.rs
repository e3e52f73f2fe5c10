//! The views of `query`: bars over exactly the catalog's files, and the trading calendar. Knows no SQL of the user's.

use std::path::{Path, PathBuf};

use super::connection::{QueryError, QueryLimits, QuerySession, sql_text};
use super::prune::bounds_of;
use super::tables::QueryTable;
use crate::domain::aggregation_spec::BucketGrid;
use crate::domain::ports::BarSelection;
use crate::domain::{Anchor, Calendar, Segment, Session, Timeframe};
use ::duckdb::types::{TimeUnit, Value};

/// A catalogued file: its frame and its path.
pub type CataloguedFile = (Timeframe, PathBuf);

/// Opens a session with all views, locked down to `files`.
///
/// Views: `bars_1m` (dataset, symbol, ts, open, high, low, close, volume, trade_count, vwap, session_date,
/// segment; `ts` is a TIMESTAMP in UTC), `bars_5m` and those of the other derived frames (the same and `minutes`), the
/// macro `bars('10m')` for any frame, kept or not, `calendar` (session_date, pre_open, open, close, post_close in UTC,
/// half_day) and `tables`. `sql` is the text that will run: what it does not name is not filled.
///
/// # Errors
/// [`QueryError::Setup`].
pub fn open_session(
    files: &[CataloguedFile],
    tables: &[QueryTable<'_>],
    sql: &str,
    limits: QueryLimits,
    spill_folder: &Path,
) -> Result<QuerySession, QueryError> {
    let session = QuerySession::open(limits, spill_folder)?;
    let paths: Vec<PathBuf> = files.iter().map(|(_, path)| path.clone()).collect();
    let lower_sql = sql.to_ascii_lowercase();
    // DuckDB opens a file to make the view; a damaged one must not cost statements that do not need it.
    let wanted = Wanted::by(sql);
    for &frame in &wanted.frames {
        refuse_odd_folders(&paths)?;
        session.prepare(&bars_view(frame, files))?;
    }
    if wanted.has_macro {
        session.prepare(BORDER_TABLE)?;
        session.fill("session_border", border_rows()?)?;
        session.prepare(&bars_macro())?;
    }
    session.prepare("CREATE TABLE calendar (session_date DATE, pre_open TIMESTAMP, open TIMESTAMP, close TIMESTAMP, post_close TIMESTAMP, half_day BOOLEAN)")?;
    if lower_sql.contains("calendar") {
        session.fill("calendar", calendar_rows()?)?;
    }
    for table in tables {
        session.prepare(&format!("CREATE TABLE {} ({})", table.name, table.columns))?;
        if lower_sql.contains(table.name) {
            session.fill(table.name, (table.rows)()?)?;
        }
    }
    session.lock_down(&paths)?;
    Ok(session)
}

/// The views that a statement may need: those whose names stand in its text, all of them when it lists names.
struct Wanted {
    frames: Vec<Timeframe>,
    has_macro: bool,
}

impl Wanted {
    fn by(sql: &str) -> Self {
        let sql = sql.to_ascii_lowercase();
        // A quoted name or a comment in between must not hide the macro.
        let has_macro = sql.replace("bars_", "").contains("bars");
        let names_all = ["show", "describe", "information_schema", "duckdb_"];
        let wants_all = names_all.iter().any(|name| sql.contains(name));
        let is_wanted = |frame: &Timeframe| {
            wants_all
                || sql.contains(&format!("bars_{frame}"))
                || (has_macro && *frame == Timeframe::M1)
        };
        Self {
            frames: Timeframe::ALL.into_iter().filter(is_wanted).collect(),
            has_macro: has_macro || wants_all,
        }
    }
}

/// The frames of derived bars that a statement reads as they are kept, and whose.
pub fn derived_frames(sql: &str) -> (Vec<Timeframe>, BarSelection) {
    let named = |frame: &Timeframe| {
        frame.is_derived() && sql.to_ascii_lowercase().contains(&format!("bars_{frame}"))
    };
    (
        Timeframe::ALL.into_iter().filter(named).collect(),
        bounds_of(sql),
    )
}

/// The files that a statement can need; `None` when it needs none at all.
pub fn needed_files(sql: &str) -> Option<BarSelection> {
    let wanted = Wanted::by(sql);
    let timeframe = match wanted.frames[..] {
        [] => return None,
        [only] => Some(only),
        _ => None,
    };
    Some(BarSelection {
        timeframe,
        ..bounds_of(sql)
    })
}

/// The statement that makes the view of one frame.
fn bars_view(frame: Timeframe, files: &[CataloguedFile]) -> String {
    let list: Vec<String> = files
        .iter()
        .filter(|(of, _)| *of == frame)
        .map(|(_, path)| sql_text(&path.to_string_lossy()))
        .collect();
    let is_derived = frame.is_derived();
    let (minutes, no_minutes) = if is_derived {
        (", minutes", ", NULL::INTEGER AS minutes")
    } else {
        ("", "")
    };
    let columns = format!(
        "ts::TIMESTAMP AS ts, open, high, low, close, volume, trade_count, vwap, session_date, segment{minutes}"
    );
    if list.is_empty() {
        return format!(
            "CREATE VIEW bars_{frame} AS SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS symbol, NULL::TIMESTAMP AS ts, \
             NULL::DOUBLE AS open, NULL::DOUBLE AS high, NULL::DOUBLE AS low, NULL::DOUBLE AS close, NULL::DOUBLE AS volume, \
             NULL::BIGINT AS trade_count, NULL::DOUBLE AS vwap, NULL::DATE AS session_date, NULL::VARCHAR AS segment{no_minutes} WHERE false"
        );
    }
    // Partition columns are texts, whatever they look like: the symbols `0700` and `TRUE` exist.
    format!(
        "CREATE VIEW bars_{frame} AS SELECT provider || '/' || feed || '/' || adjustment AS dataset, symbol, {columns} \
         FROM read_parquet([{}], hive_partitioning = true, hive_types = {{'provider': VARCHAR, 'feed': VARCHAR, \
         'adjustment': VARCHAR, 'timeframe': VARCHAR, 'symbol': VARCHAR, '{}': VARCHAR}})",
        list.join(", "),
        if is_derived { "year" } else { "month" },
    )
}

/// The segments of all sessions, for the macro: where they begin and from where their buckets are counted.
const BORDER_TABLE: &str = "CREATE TABLE session_border (session_date DATE, segment VARCHAR, segment_start TIMESTAMP, \
     open_origin TIMESTAMP, clock_origin TIMESTAMP, session_open TIMESTAMP)";

fn border_rows() -> Result<Vec<Vec<Value>>, QueryError> {
    let calendar = Calendar::nyse();
    let (first, last) = calendar.coverage();
    let sessions = calendar
        .sessions(first, last)
        .map_err(|error| QueryError::Setup(error.to_string()))?;
    let mut rows = Vec::with_capacity(sessions.len() * 4);
    for session in &sessions {
        for segment in Segment::ALL {
            let grid = |anchor| BucketGrid::new(session, segment, anchor, 1);
            let instant = |instant_us| Value::Timestamp(TimeUnit::Microsecond, instant_us);
            rows.push(vec![
                Value::Date32(session.date().days_since_epoch()),
                Value::Text(segment.as_str().into()),
                instant(grid(Anchor::Open).segment_start_us()),
                instant(grid(Anchor::Open).origin_us()),
                instant(grid(Anchor::Clock).origin_us()),
                instant(session.open_us()),
            ]);
        }
    }
    Ok(rows)
}

/// `bars('10m')`, `bars('1h', anchor := 'clock')`: bars of any frame, made from `bars_1m` as they are asked for.
///
/// The same buckets as kept bars have. Volumes of whole shares and all prices are equal to those; a sum of fractions
/// may differ in its last bit, because nothing orders its additions here. Pairs that trade day and night have UTC days.
fn bars_macro() -> String {
    let lengths: Vec<String> = Timeframe::ALL
        .into_iter()
        .filter_map(|frame| {
            frame
                .minutes()
                .map(|minutes| format!("WHEN '{frame}' THEN {minutes}"))
        })
        .collect();
    let length = format!("(CASE frame {} END * 60000000::BIGINT)", lengths.join(" "));
    // Counted in microseconds since 1970; the remainder is negative before the origin and made positive.
    let origin = "epoch_us(CASE WHEN symbol LIKE '%/%' THEN session_date::TIMESTAMP WHEN anchor = 'clock' THEN clock_origin ELSE open_origin END)";
    let since = format!("(epoch_us(m.ts) - {origin})");
    let start = format!("epoch_us(m.ts) - (({since} % {length}) + {length}) % {length}");
    format!(
        "CREATE MACRO bars(frame, anchor := 'open') AS TABLE
         SELECT dataset, symbol, bucket AS ts, arg_min(open, ts) AS open, max(high) AS high, min(low) AS low,
                arg_max(close, ts) AS close, sum(volume) AS volume,
                CASE WHEN count(trade_count) = count(*) THEN try_cast(sum(trade_count) AS BIGINT) END AS trade_count,
                CASE WHEN count(*) FILTER (volume > 0 AND vwap IS NULL) = 0 AND sum(volume) > 0
                     THEN sum(CASE WHEN volume > 0 THEN vwap * volume ELSE 0 END) / sum(volume) END AS vwap,
                session_date, segment, count(*)::INTEGER AS minutes
         FROM (
             SELECT m.*,
                    CASE WHEN anchor NOT IN ('open', 'clock') THEN error('anchor ' || anchor || ' is unknown, expected open or clock')::TIMESTAMP
                         WHEN frame = '1d' AND symbol LIKE '%/%' THEN session_date::TIMESTAMP
                         WHEN frame = '1d' THEN session_open
                         WHEN {length} IS NULL THEN error('timeframe ' || frame || ' is unknown, expected one of {frames}')::TIMESTAMP
                         ELSE greatest(make_timestamp({start}), CASE WHEN symbol LIKE '%/%' THEN session_date::TIMESTAMP ELSE segment_start END)
                    END AS bucket
             FROM bars_1m m LEFT JOIN session_border USING (session_date, segment)
             WHERE frame <> '1d' OR segment = 'regular'
         )
         GROUP BY dataset, symbol, bucket, session_date, segment",
        frames = Timeframe::ALL.map(Timeframe::as_str).join(", "),
    )
}

/// Refuses a lake in a folder whose name means something to DuckDB: a wildcard, or a partition like those below.
fn refuse_odd_folders(paths: &[PathBuf]) -> Result<(), QueryError> {
    let Some(path) = paths.first() else {
        return Ok(());
    };
    // Below it: lake, six folders of a partition, the file.
    let root = path.ancestors().nth(8).unwrap_or(path);
    let above = root.to_string_lossy();
    let means_a_partition = |folder: &str| {
        let keys = [
            "provider=",
            "feed=",
            "adjustment=",
            "timeframe=",
            "symbol=",
            "month=",
            "year=",
        ];
        keys.iter().any(|key| folder.starts_with(key))
    };
    let mut folders = root.iter().map(|folder| folder.to_string_lossy());
    if above.contains(['*', '?', '[']) || folders.any(|folder| means_a_partition(&folder)) {
        let words = format!(
            "the data folder {above} cannot be queried: rename it, without *, ?, [ and names like symbol="
        );
        return Err(QueryError::Setup(words));
    }
    Ok(())
}

fn calendar_rows() -> Result<Vec<Vec<Value>>, QueryError> {
    let calendar = Calendar::nyse();
    let (first, last) = calendar.coverage();
    let sessions = calendar
        .sessions(first, last)
        .map_err(|error| QueryError::Setup(error.to_string()))?;
    let instant = |instant_us| Value::Timestamp(TimeUnit::Microsecond, instant_us);
    let row = |session: &Session| {
        vec![
            Value::Date32(session.date().days_since_epoch()),
            instant(session.pre_open_us()),
            instant(session.open_us()),
            instant(session.close_us()),
            instant(session.post_close_us()),
            Value::Boolean(session.is_half_day()),
        ]
    };
    Ok(sessions.iter().map(row).collect())
}

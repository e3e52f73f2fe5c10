-- The first schema of a data directory's database: completeness ledger, catalog of the lake, quarantine,
-- revisions, jobs. Append only: an applied migration is never edited, a change gets a file of its own.
--
-- Instants are UTC microseconds (`_us`), session dates days since 1970-01-01 (`_day`), hashes lower-case hex.

-- Which migrations were applied, and with which text.
CREATE TABLE migration (
    version       INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL,
    sha256        TEXT    NOT NULL,
    applied_at_us INTEGER NOT NULL
) STRICT;

-- The data directory itself; one row.
CREATE TABLE store (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    -- Random, given once; files of another directory do not carry it.
    store_id      TEXT    NOT NULL,
    -- Raised by whoever takes the store lock; a commit that began under an older one is refused.
    epoch         INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT;

INSERT INTO store (id, store_id, epoch, created_at_us)
VALUES (1, lower(hex(randomblob(16))), 0, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000);

-- One ingest each. AUTOINCREMENT: an id is never given twice, not even after a deletion.
CREATE TABLE job (
    job_id           INTEGER PRIMARY KEY AUTOINCREMENT,
    state            TEXT    NOT NULL,
    request          TEXT    NOT NULL,
    owner_pid        INTEGER NOT NULL,
    owner_host       TEXT    NOT NULL,
    created_at_us    INTEGER NOT NULL,
    finished_at_us   INTEGER,
    rows_new         INTEGER NOT NULL DEFAULT 0,
    rows_revised     INTEGER NOT NULL DEFAULT 0,
    rows_quarantined INTEGER NOT NULL DEFAULT 0,
    rows_received    INTEGER NOT NULL DEFAULT 0,
    requests         INTEGER NOT NULL DEFAULT 0,
    retries          INTEGER NOT NULL DEFAULT 0,
    wire_bytes       INTEGER NOT NULL DEFAULT 0,
    files_written    INTEGER NOT NULL DEFAULT 0,
    files_unchanged  INTEGER NOT NULL DEFAULT 0,
    empty_sessions   INTEGER NOT NULL DEFAULT 0,
    message          TEXT
) STRICT;

-- How far each unit of a job is; the numbers never go back.
CREATE TABLE checkpoint (
    job_id      INTEGER NOT NULL REFERENCES job (job_id),
    unit        INTEGER NOT NULL,
    description TEXT    NOT NULL,
    committed   INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    PRIMARY KEY (job_id, unit)
) STRICT, WITHOUT ROWID;

-- A dataset's symbol: what the wide tables refer to by a short number.
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    dataset   TEXT    NOT NULL,
    symbol    TEXT    NOT NULL,
    UNIQUE (dataset, symbol)
) STRICT;

-- The completeness ledger: one row for each session that the provider was asked for.
CREATE TABLE session_record (
    series_id        INTEGER NOT NULL REFERENCES series (series_id),
    session_day      INTEGER NOT NULL,
    asked_start_us   INTEGER NOT NULL,
    asked_end_us     INTEGER NOT NULL,
    asked_at_us      INTEGER NOT NULL,
    is_settled       INTEGER NOT NULL CHECK (is_settled IN (0, 1)),
    -- Bitmaps of the session's minutes.
    present          BLOB    NOT NULL,
    off_frame_rows   INTEGER NOT NULL,
    quarantined      BLOB    NOT NULL,
    -- All rows of the session, then the regular minutes among them, then those that a full session has.
    rows             INTEGER NOT NULL,
    regular_minutes  INTEGER NOT NULL,
    expected_minutes INTEGER NOT NULL,
    -- The regular session in one line; prices are null without a bar.
    open             REAL,
    high             REAL,
    low              REAL,
    close            REAL,
    volume           REAL    NOT NULL,
    trade_count      INTEGER,
    vwap             REAL,
    PRIMARY KEY (series_id, session_day)
) STRICT, WITHOUT ROWID;

-- Every commit that changed the lake. The job is null where none was at work: recovery, aggregation, repair.
CREATE TABLE commit_log (
    commit_seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id       INTEGER REFERENCES job (job_id),
    at_us        INTEGER NOT NULL,
    partitions   INTEGER NOT NULL,
    rows_new     INTEGER NOT NULL,
    rows_revised INTEGER NOT NULL
) STRICT;

-- The catalog: a row names a durable file of the lake.
CREATE TABLE partition_file (
    series_id         INTEGER NOT NULL REFERENCES series (series_id),
    timeframe         TEXT    NOT NULL,
    period            TEXT    NOT NULL,
    path              TEXT    NOT NULL UNIQUE,
    sha256            TEXT    NOT NULL,
    content_hash      TEXT    NOT NULL,
    bytes             INTEGER NOT NULL,
    rows              INTEGER NOT NULL,
    first_ts_us       INTEGER NOT NULL,
    last_ts_us        INTEGER NOT NULL,
    first_session_day INTEGER NOT NULL,
    last_session_day  INTEGER NOT NULL,
    schema_version    INTEGER NOT NULL,
    commit_seq        INTEGER NOT NULL REFERENCES commit_log (commit_seq),
    -- How a derived file was made; null for the provider's own frame.
    spec_hash         TEXT,
    PRIMARY KEY (series_id, timeframe, period)
) STRICT, WITHOUT ROWID;

-- Redo records: a file that is staged or was just renamed, and its catalog row to be. Recovery finishes or forgets it.
CREATE TABLE pending (
    path              TEXT    NOT NULL PRIMARY KEY,
    series_id         INTEGER NOT NULL REFERENCES series (series_id),
    timeframe         TEXT    NOT NULL,
    period            TEXT    NOT NULL,
    new_sha256        TEXT    NOT NULL,
    content_hash      TEXT    NOT NULL,
    bytes             INTEGER NOT NULL,
    rows              INTEGER NOT NULL,
    first_ts_us       INTEGER NOT NULL,
    last_ts_us        INTEGER NOT NULL,
    first_session_day INTEGER NOT NULL,
    last_session_day  INTEGER NOT NULL,
    schema_version    INTEGER NOT NULL,
    spec_hash         TEXT,
    staged_name       TEXT    NOT NULL UNIQUE,
    -- The file that is replaced; null when there was none.
    old_sha256        TEXT,
    epoch             INTEGER NOT NULL,
    created_at_us     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows that broke a hard rule. The symbol is the provider's text, so it need not be one of `series`.
CREATE TABLE quarantine (
    quarantine_id INTEGER PRIMARY KEY,
    dataset       TEXT    NOT NULL,
    symbol        TEXT    NOT NULL,
    -- Null when the row had no timestamp, or none that belongs to a session.
    ts_us         INTEGER,
    session_day   INTEGER,
    rule          TEXT    NOT NULL,
    evidence      TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    job_id        INTEGER NOT NULL REFERENCES job (job_id),
    seen_at_us    INTEGER NOT NULL
) STRICT;

-- The same fault is kept once, also without a timestamp (nulls would all differ); the order in which rows are read.
CREATE UNIQUE INDEX quarantine_row ON quarantine (dataset, symbol, ts_us IS NULL, coalesce(ts_us, 0), rule, evidence);

-- Stored rows that a later answer replaced or withdrew (then all of `new_` is null), oldest first.
CREATE TABLE revision (
    revision_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id       INTEGER NOT NULL REFERENCES series (series_id),
    ts_us           INTEGER NOT NULL,
    session_day     INTEGER,
    old_open        REAL    NOT NULL,
    old_high        REAL    NOT NULL,
    old_low         REAL    NOT NULL,
    old_close       REAL    NOT NULL,
    old_volume      REAL    NOT NULL,
    old_trade_count INTEGER,
    old_vwap        REAL,
    new_open        REAL,
    new_high        REAL,
    new_low         REAL,
    new_close       REAL,
    new_volume      REAL,
    new_trade_count INTEGER,
    new_vwap        REAL,
    job_id          INTEGER NOT NULL REFERENCES job (job_id),
    seen_at_us      INTEGER NOT NULL
) STRICT;

CREATE INDEX revision_series ON revision (series_id);

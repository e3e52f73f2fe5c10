-- What runs measured: totals for ever, their course in intervals, runs, events.

-- A metric with the values of its labels, a JSON array in the metric's order.
CREATE TABLE metric_series (
    metric_series_id INTEGER PRIMARY KEY,
    name             TEXT NOT NULL,
    label_values     TEXT NOT NULL,
    UNIQUE (name, label_values)
) STRICT;

-- What a series came to since the beginning; of a gauge its last value. Of a histogram the sum, and the counts of its
-- buckets as `number:count`, separated by blanks.
CREATE TABLE metric_total (
    metric_series_id INTEGER PRIMARY KEY REFERENCES metric_series (metric_series_id),
    value            REAL    NOT NULL,
    buckets          TEXT,
    updated_at_us    INTEGER NOT NULL
) STRICT;

-- What happened within the `length_s` seconds from `start_s` on.
CREATE TABLE metric_point (
    metric_series_id INTEGER NOT NULL REFERENCES metric_series (metric_series_id),
    length_s         INTEGER NOT NULL,
    start_s          INTEGER NOT NULL,
    value            REAL    NOT NULL,
    buckets          TEXT,
    PRIMARY KEY (metric_series_id, length_s, start_s)
) STRICT, WITHOUT ROWID;

-- Runs of commands. A run without an outcome is at work, or its process died.
CREATE TABLE run (
    run_key      TEXT    NOT NULL PRIMARY KEY,
    command      TEXT    NOT NULL,
    dataset      TEXT,
    job_id       INTEGER,
    started_us   INTEGER NOT NULL,
    last_seen_us INTEGER NOT NULL,
    outcome      TEXT,
    rows         INTEGER NOT NULL,
    failures     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX run_by_start ON run (started_us);

-- Events as they were published (no subscriber) and handed on.
CREATE TABLE event_count (
    event         TEXT    NOT NULL,
    subscriber    TEXT    NOT NULL,
    delivered     INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    slowest_us    INTEGER NOT NULL,
    PRIMARY KEY (event, subscriber)
) STRICT, WITHOUT ROWID;

-- What validation found, as of the last look at each series, and what people said of it.

CREATE TABLE finding (
    -- The same in every run for the same rule and place.
    finding_id    TEXT    NOT NULL PRIMARY KEY,
    rule          TEXT    NOT NULL,
    severity      TEXT    NOT NULL,
    dataset       TEXT    NOT NULL,
    -- Null for what concerns a whole dataset.
    symbol        TEXT,
    timeframe     TEXT    NOT NULL,
    -- Days since 1970-01-01; null where it is not about one session.
    session_day   INTEGER,
    ts_us         INTEGER,
    value         TEXT    NOT NULL,
    expected      TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    -- Of the bar's values, or of what was found.
    fingerprint   TEXT    NOT NULL,
    first_seen_us INTEGER NOT NULL,
    last_seen_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX finding_by_series ON finding (dataset, symbol, session_day);

CREATE TABLE acknowledgement (
    finding_id  TEXT    NOT NULL PRIMARY KEY,
    -- Counts only as long as the finding has this one.
    fingerprint TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    at_us       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

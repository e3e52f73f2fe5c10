-- What derived partitions were made from, so that staleness is a comparison. Also those that have no rows and so no file.

CREATE TABLE derivation (
    series_id   INTEGER NOT NULL REFERENCES series (series_id),
    timeframe   TEXT    NOT NULL,
    period      TEXT    NOT NULL,
    -- SHA-256 of the spec's words.
    spec_hash   TEXT    NOT NULL,
    -- SHA-256 over the months of minutes and the hashes of their rows.
    source_hash TEXT    NOT NULL,
    PRIMARY KEY (series_id, timeframe, period)
) STRICT, WITHOUT ROWID;

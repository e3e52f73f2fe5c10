-- Jobs that can be resumed, cancelled and recognised as dead; sessions that the provider's plan does not include.

-- The request in a form that can be run again; null for jobs of before.
ALTER TABLE job ADD COLUMN spec TEXT;
-- Name of the lock that the owner's process holds while it lives; null for jobs of before, whose owners are gone.
ALTER TABLE job ADD COLUMN owner_lease TEXT;
-- Somebody wants it to end; its owner looks every second.
ALTER TABLE job ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1));

CREATE INDEX job_unfinished ON job (state) WHERE state IN ('pending', 'running');

-- Sessions that were asked for and refused because the plan does not include them; an answer takes the row away.
CREATE TABLE not_entitled (
    series_id     INTEGER NOT NULL REFERENCES series (series_id),
    session_day   INTEGER NOT NULL,
    asked_at_us   INTEGER NOT NULL,
    PRIMARY KEY (series_id, session_day)
) STRICT, WITHOUT ROWID;

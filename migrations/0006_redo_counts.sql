-- What a change that was cut short brings to its job's counters, once recovery has finished it.
ALTER TABLE pending ADD COLUMN job_id INTEGER;
ALTER TABLE pending ADD COLUMN rows_new INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pending ADD COLUMN rows_revised INTEGER NOT NULL DEFAULT 0;

-- What makes a segment that was changed or taken away show: each value is made from the file's hash and from the value
-- before it (model::ChainLink says how). Nothing where a segment is not chained.
ALTER TABLE segments ADD COLUMN chain_previous BLOB CHECK (length(chain_previous) = 32);
ALTER TABLE segments ADD COLUMN chain BLOB CHECK (length(chain) = 32);

CREATE INDEX segments_by_run ON segments (camera_id, run_id, sequence);
CREATE INDEX segments_chained ON segments (camera_id, run_id, sequence) WHERE chain IS NOT NULL;

-- Chained segments that camkeep itself let go, joined to stretches while others of their run are still there: without a
-- row here, a hole in a run was made by somebody else.
CREATE TABLE chain_removals (
    camera_id TEXT NOT NULL,
    run_id INTEGER NOT NULL CHECK (run_id BETWEEN 0 AND 4294967295),
    first_sequence INTEGER NOT NULL CHECK (first_sequence >= 0),
    last_sequence INTEGER NOT NULL CHECK (last_sequence >= first_sequence),
    -- The value of the last of them, which the next segment names.
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    PRIMARY KEY (camera_id, run_id, first_sequence)
) STRICT, WITHOUT ROWID;

-- Every key that ever signed clips here, so that a clip of a former key can still be checked.
CREATE TABLE box_keys (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    public_key TEXT NOT NULL,
    made_at_ns INTEGER,
    first_used_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

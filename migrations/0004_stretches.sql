-- What timelines are drawn from, however long they are: the segments of a camera that begin within the same two hours (a
-- slot, counted from 1970) and join are one row here. A row is a sum and nothing of its own: whatever changes a segment
-- takes the rows of its slot away in the same transaction, so that a row that is there is right, and what has none is read
-- from the segments. The ingest sums slots up again once newer footage has begun.
CREATE TABLE stretches (
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    place INTEGER NOT NULL CHECK (place >= 0),
    start_ns INTEGER NOT NULL,
    -- The last segment may reach into the next slot.
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    -- What is really there, seams not counted.
    recorded_ns INTEGER NOT NULL CHECK (recorded_ns >= 0),
    segments INTEGER NOT NULL CHECK (segments > 0),
    -- The ends of the chain: whether the neighbours continue it.
    first_run INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_run INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    PRIMARY KEY (camera_id, slot, place)
) STRICT, WITHOUT ROWID;

-- Slots that are to be summed up.
CREATE TABLE unsummed (
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    PRIMARY KEY (camera_id, slot)
) STRICT, WITHOUT ROWID;

-- Division rounds towards zero, and a slot before 1970 has to round down like every other.
INSERT INTO unsummed SELECT DISTINCT camera_id, start_ns / 7200000000000 - (start_ns % 7200000000000 < 0) FROM segments;

CREATE TRIGGER segment_came AFTER INSERT ON segments BEGIN
    DELETE FROM stretches WHERE camera_id = new.camera_id
        AND slot = new.start_ns / 7200000000000 - (new.start_ns % 7200000000000 < 0);
    INSERT INTO unsummed VALUES
        (new.camera_id, new.start_ns / 7200000000000 - (new.start_ns % 7200000000000 < 0)) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER segment_went AFTER DELETE ON segments BEGIN
    DELETE FROM stretches WHERE camera_id = old.camera_id
        AND slot = old.start_ns / 7200000000000 - (old.start_ns % 7200000000000 < 0);
    INSERT INTO unsummed VALUES
        (old.camera_id, old.start_ns / 7200000000000 - (old.start_ns % 7200000000000 < 0)) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER segment_changed AFTER UPDATE OF camera_id, start_ns, end_ns, run_id, sequence, playable ON segments
WHEN (old.camera_id, old.start_ns, old.end_ns, old.run_id, old.sequence, old.playable)
    IS NOT (new.camera_id, new.start_ns, new.end_ns, new.run_id, new.sequence, new.playable)
BEGIN
    DELETE FROM stretches WHERE camera_id = old.camera_id
        AND slot = old.start_ns / 7200000000000 - (old.start_ns % 7200000000000 < 0);
    DELETE FROM stretches WHERE camera_id = new.camera_id
        AND slot = new.start_ns / 7200000000000 - (new.start_ns % 7200000000000 < 0);
    INSERT INTO unsummed VALUES
        (old.camera_id, old.start_ns / 7200000000000 - (old.start_ns % 7200000000000 < 0)),
        (new.camera_id, new.start_ns / 7200000000000 - (new.start_ns % 7200000000000 < 0)) ON CONFLICT DO NOTHING;
END;

-- What came back from a camera's own storage, so that a timeline can say so without looking at all the rest.
CREATE INDEX segments_refilled ON segments (camera_id, start_ns, end_ns) WHERE origin = 'refill' AND playable = 1;

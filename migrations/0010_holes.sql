-- Where inside its span a segment has no footage: the camera sent nothing for a while, or frames of its file are gone.
-- What a segment covers is its span without these. They go with their segment.
CREATE TABLE holes (
    segment_id BLOB NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns > start_ns),
    cause TEXT NOT NULL,
    camera_id TEXT NOT NULL,
    PRIMARY KEY (segment_id, start_ns)
) STRICT, WITHOUT ROWID;

-- Timelines read the holes of a window from this index alone.
CREATE INDEX holes_by_time ON holes (camera_id, start_ns, end_ns, segment_id, cause);

-- Segments of which no copy can be read: what they covered is missing.
CREATE INDEX segments_unplayable ON segments (camera_id, start_ns, end_ns, id) WHERE playable = 0;

-- The same as before, and which segment it is.
DROP INDEX segments_refilled;
CREATE INDEX segments_refilled ON segments (camera_id, start_ns, end_ns, id) WHERE origin = 'refill' AND playable = 1;

-- Sums of footage know pieces of segments now, and those of one segment may lie in several rows. Footage joins where it is
-- near, and for no other reason: runs and sequences do not matter any more. All slots are summed up anew.
DROP TABLE stretches;
CREATE TABLE stretches (
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    place INTEGER NOT NULL CHECK (place >= 0),
    start_ns INTEGER NOT NULL,
    -- The last segment may reach into the next slot.
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    -- What is really there, seams not counted.
    recorded_ns INTEGER NOT NULL CHECK (recorded_ns >= 0),
    -- How many segments begin in it.
    segments INTEGER NOT NULL CHECK (segments >= 0),
    PRIMARY KEY (camera_id, slot, place)
) STRICT, WITHOUT ROWID;
DELETE FROM unsummed;
INSERT INTO unsummed SELECT DISTINCT camera_id, start_ns / 7200000000000 - (start_ns % 7200000000000 < 0) FROM segments;

-- A hole that comes or goes changes footage like a segment does. One that goes with its segment finds no row any more.
CREATE TRIGGER hole_came AFTER INSERT ON holes BEGIN
    DELETE FROM stretches WHERE camera_id = new.camera_id AND slot = (
        SELECT start_ns / 7200000000000 - (start_ns % 7200000000000 < 0) FROM segments WHERE id = new.segment_id);
    INSERT INTO unsummed SELECT camera_id, start_ns / 7200000000000 - (start_ns % 7200000000000 < 0)
        FROM segments WHERE id = new.segment_id ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER hole_went AFTER DELETE ON holes BEGIN
    DELETE FROM stretches WHERE camera_id = old.camera_id AND slot = (
        SELECT start_ns / 7200000000000 - (start_ns % 7200000000000 < 0) FROM segments WHERE id = old.segment_id);
    INSERT INTO unsummed SELECT camera_id, start_ns / 7200000000000 - (start_ns % 7200000000000 < 0)
        FROM segments WHERE id = old.segment_id ON CONFLICT DO NOTHING;
END;

-- Gaps have more causes now. A check cannot be changed, so the table is made anew, without one on the cause: the next word
-- needs no rebuild.
CREATE TABLE gaps_anew (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns >= start_ns),
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    cause TEXT NOT NULL,
    fate TEXT NOT NULL CHECK (fate IN ('pending', 'filled', 'failed')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    last_attempt_at_ns INTEGER,
    filled_at_ns INTEGER,
    recovered_seconds REAL NOT NULL
) STRICT;

INSERT INTO gaps_anew SELECT id, camera_id, start_ns, end_ns, open, cause, fate, attempts, last_attempt_at_ns, filled_at_ns,
    recovered_seconds FROM gaps;
DROP TABLE gaps;
ALTER TABLE gaps_anew RENAME TO gaps;

CREATE INDEX gaps_by_time ON gaps (camera_id, start_ns, id);
CREATE INDEX gaps_by_fate ON gaps (fate, start_ns, id);
CREATE UNIQUE INDEX gaps_open ON gaps (camera_id) WHERE open = 1;

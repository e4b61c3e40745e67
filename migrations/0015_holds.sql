-- Evidence: times of cameras whose footage stays, also what is still to be recorded or to come back from a camera.
CREATE TABLE holds (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL CHECK (end_ns > start_ns),
    -- The segment that it was made for, when it was made for one.
    segment_id BLOB CHECK (length(segment_id) = 16),
    reason TEXT NOT NULL,
    owner TEXT NOT NULL,
    incident_id TEXT,
    created_at_ns INTEGER NOT NULL,
    expires_at_ns INTEGER
) STRICT;

CREATE INDEX holds_of_segment ON holds (segment_id) WHERE segment_id IS NOT NULL;

-- The span stands here too, so that one look says whether a segment is held.
CREATE TABLE held (
    camera_id TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
    hold_id BLOB NOT NULL REFERENCES holds (id) ON DELETE CASCADE,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    PRIMARY KEY (camera_id, hold_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX segments_of_incident ON segments (incident_id) WHERE incident_id IS NOT NULL;

-- Whoever writes a segment, it is held from the same moment on when a hold covers it.
CREATE TRIGGER segment_came_held AFTER INSERT ON segments
WHEN EXISTS (
    SELECT 1 FROM held
    WHERE held.camera_id = new.camera_id AND held.start_ns < new.end_ns AND held.end_ns > new.start_ns
) BEGIN
    UPDATE segments SET evidence_locked = 1 WHERE id = new.id;
END;

CREATE TRIGGER segment_grew_held AFTER UPDATE OF camera_id, start_ns, end_ns ON segments
WHEN new.evidence_locked IS NOT EXISTS (
    SELECT 1 FROM held
    WHERE held.camera_id = new.camera_id AND held.start_ns < new.end_ns AND held.end_ns > new.start_ns
) BEGIN
    UPDATE segments SET evidence_locked = 1 - evidence_locked WHERE id = new.id;
END;

-- A segment is held no longer than a hold covers it.
CREATE TRIGGER hold_came AFTER INSERT ON held BEGIN
    UPDATE segments SET evidence_locked = 1
    WHERE camera_id = new.camera_id AND start_ns < new.end_ns AND end_ns > new.start_ns
        -- None before this reaches so far.
        AND start_ns >= new.start_ns - (SELECT longest_segment_ns FROM cameras WHERE id = new.camera_id) AND evidence_locked = 0;
END;

CREATE TRIGGER hold_went AFTER DELETE ON held BEGIN
    UPDATE segments SET evidence_locked = 0
    WHERE camera_id = old.camera_id AND start_ns < old.end_ns AND end_ns > old.start_ns
        -- None before this reaches so far.
        AND start_ns >= old.start_ns - (SELECT longest_segment_ns FROM cameras WHERE id = old.camera_id)
        AND evidence_locked = 1
        AND NOT EXISTS (
            SELECT 1 FROM held WHERE held.camera_id = segments.camera_id AND held.start_ns < segments.end_ns
                AND held.end_ns > segments.start_ns
        );
END;

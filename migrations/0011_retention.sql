-- Footage is kept as long as there is room, unless somebody chose a time. The 24 hours that every camera had were a default
-- without effect; taken for a choice, the first start that deletes would delete nearly everything.
ALTER TABLE cameras ADD COLUMN kept_hours INTEGER CHECK (kept_hours >= 1);
UPDATE cameras SET kept_hours = retention_hours WHERE retention_hours NOT IN (0, 24);
ALTER TABLE cameras DROP COLUMN retention_hours;
ALTER TABLE cameras RENAME COLUMN kept_hours TO retention_hours;

-- How much of the primary's room a closed segment takes, 0 when its file is missing; nothing when the primary has no copy.
-- Writer::see_copies keeps it right.
ALTER TABLE segments ADD COLUMN primary_bytes INTEGER CHECK (primary_bytes >= 0);
-- Whether retention let the primary's copy go, so that a copy on the mirror is no longer one that the primary would keep.
ALTER TABLE segments ADD COLUMN let_go INTEGER NOT NULL DEFAULT 0 CHECK (let_go IN (0, 1));

UPDATE segments SET primary_bytes = (
    SELECT sum(iif(copies.state IN ('whole', 'suspect'), size_bytes, 0)) FROM copies
    JOIN volumes ON volumes.id = volume_id AND role = 'primary'
    WHERE segment_id = segments.id AND copies.state <> 'quarantined'
) WHERE state = 'closed';

-- The oldest that may go are found here, however much is held as evidence before them.
CREATE INDEX segments_on_primary ON segments (camera_id, start_ns, id, end_ns, primary_bytes)
    WHERE primary_bytes IS NOT NULL AND evidence_locked = 0;

-- The sums of primary_bytes, so that nobody adds up a million rows to learn how full the primary is.
CREATE TABLE holdings (
    camera_id TEXT PRIMARY KEY REFERENCES cameras (id) ON DELETE CASCADE,
    segments INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO holdings SELECT camera_id, count(*), sum(primary_bytes) FROM segments
    WHERE primary_bytes IS NOT NULL GROUP BY camera_id;

CREATE TRIGGER holding_came AFTER INSERT ON segments WHEN new.primary_bytes IS NOT NULL BEGIN
    INSERT INTO holdings VALUES (new.camera_id, 1, new.primary_bytes)
        ON CONFLICT DO UPDATE SET segments = segments + 1, bytes = bytes + new.primary_bytes;
END;

CREATE TRIGGER holding_went AFTER DELETE ON segments WHEN old.primary_bytes IS NOT NULL BEGIN
    UPDATE holdings SET segments = segments - 1, bytes = bytes - old.primary_bytes WHERE camera_id = old.camera_id;
END;

CREATE TRIGGER holding_changed AFTER UPDATE OF camera_id, primary_bytes ON segments
WHEN (old.camera_id, old.primary_bytes) IS NOT (new.camera_id, new.primary_bytes) BEGIN
    UPDATE holdings SET segments = segments - 1, bytes = bytes - old.primary_bytes
        WHERE camera_id = old.camera_id AND old.primary_bytes IS NOT NULL;
    INSERT INTO holdings SELECT new.camera_id, 1, new.primary_bytes WHERE new.primary_bytes IS NOT NULL
        ON CONFLICT DO UPDATE SET segments = segments + 1, bytes = bytes + new.primary_bytes;
END;

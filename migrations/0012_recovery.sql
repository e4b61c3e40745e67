-- A camera that was made from its recordings after the index was lost, and of which nobody knows any more how to reach it.
ALTER TABLE cameras ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0 CHECK (recovered IN (0, 1));

-- What is still to be made anew from what lies on disks, because this index took the place of a lost one, or may have: cameras
-- and kept gaps, rows of clips.
CREATE TABLE recovery (
    what TEXT PRIMARY KEY CHECK (what IN ('footage', 'clips'))
) STRICT, WITHOUT ROWID;

-- One that has seen a volume or a camera is not new.
INSERT INTO recovery SELECT column1 FROM (VALUES ('footage'), ('clips'))
WHERE NOT EXISTS (SELECT 1 FROM volumes) AND NOT EXISTS (SELECT 1 FROM cameras);

-- What the mirror lacks, what it holds, and what only it still holds whole: each known of a segment without a look at its
-- copies, so that what is to be copied is found among a million rows. Writer::see_copies keeps all three right.
--
-- How much is to be copied: the size of the primary's whole copy while no mirror has one with the same hash.
ALTER TABLE segments ADD COLUMN owed_bytes INTEGER CHECK (owed_bytes >= 0);
-- How much of a mirror's room it takes, whole or not.
ALTER TABLE segments ADD COLUMN mirrored_bytes INTEGER CHECK (mirrored_bytes >= 0);
-- Whether it is whole on a mirror and not on the primary.
ALTER TABLE segments ADD COLUMN ailing INTEGER NOT NULL DEFAULT 0 CHECK (ailing IN (0, 1));

CREATE INDEX segments_owed ON segments (camera_id, start_ns, id, owed_bytes) WHERE owed_bytes IS NOT NULL;
CREATE INDEX segments_mirrored ON segments (start_ns, id, mirrored_bytes) WHERE mirrored_bytes IS NOT NULL;
CREATE INDEX segments_ailing ON segments (start_ns, id) WHERE ailing = 1;

-- Nothing was mirrored before.
UPDATE segments SET owed_bytes = (
    SELECT size_bytes FROM copies WHERE segment_id = segments.id AND copies.state = 'whole' AND sha256 IS NOT NULL
) WHERE state = 'closed';

-- What the mirror lacks, and what it holds: known of a segment without a look at its copies, so that what is to be copied is
-- found among a million rows. Writer::see_copies keeps both right.
--
-- How much is to be copied: the size of the primary's whole copy while no mirror has one with the same hash.
ALTER TABLE segments ADD COLUMN owed_bytes INTEGER CHECK (owed_bytes >= 0);
-- How much of a mirror's room it takes, whole or not.
ALTER TABLE segments ADD COLUMN mirrored_bytes INTEGER CHECK (mirrored_bytes >= 0);

CREATE INDEX segments_owed ON segments (camera_id, start_ns, id, owed_bytes) WHERE owed_bytes IS NOT NULL;
CREATE INDEX segments_mirrored ON segments (start_ns, id, mirrored_bytes) WHERE mirrored_bytes IS NOT NULL;

-- Nothing was mirrored before.
UPDATE segments SET owed_bytes = (
    SELECT size_bytes FROM copies WHERE segment_id = segments.id AND copies.state = 'whole' AND sha256 IS NOT NULL
) WHERE state = 'closed';

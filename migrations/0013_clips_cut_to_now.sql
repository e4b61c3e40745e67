-- The end that was asked for, where it lay in the future: `to_ns` is then the moment at which the clip was made.
ALTER TABLE clips ADD COLUMN requested_to_ns INTEGER CHECK (requested_to_ns >= to_ns);

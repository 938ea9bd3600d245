-- What is charged by another measure than tokens: milliseconds of sound that came in, characters that were
-- spoken, pictures that were made.
ALTER TABLE request ADD COLUMN sound_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN characters INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN pictures INTEGER NOT NULL DEFAULT 0;

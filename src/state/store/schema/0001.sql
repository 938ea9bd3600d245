-- Keys and requests. Numbered files are never changed once released; a later one alters.
CREATE TABLE key (
	id BLOB PRIMARY KEY,
	public_id TEXT NOT NULL UNIQUE,
	sha256 BLOB NOT NULL,
	name TEXT NOT NULL UNIQUE,
	manage INTEGER NOT NULL,
	completions INTEGER NOT NULL,
	created_ms INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL
);

-- One row an answered request. cost_nusd NULL: no price is known. final 0: a checkpoint. The id begins
-- with the time (RFC 9562 version 7), so that the table's own order is the order of time.
CREATE TABLE request (
	id BLOB PRIMARY KEY,
	final INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	started_ms INTEGER NOT NULL,
	duration_us INTEGER NOT NULL,
	first_token_us INTEGER,
	overhead_us INTEGER NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT,
	trace_id TEXT,
	tags TEXT,
	extra TEXT,
	referer TEXT,
	title TEXT,
	upstream_id TEXT,
	status INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	stream INTEGER NOT NULL,
	outcome TEXT NOT NULL,
	basis TEXT NOT NULL,
	usage_present INTEGER NOT NULL,
	input_uncached INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write_5m INTEGER NOT NULL,
	cache_write_1h INTEGER NOT NULL,
	input_audio INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	output_audio INTEGER NOT NULL,
	cost_nusd INTEGER
) WITHOUT ROWID;
CREATE INDEX request_open ON request (id) WHERE final = 0;

-- How far a journal file is in the tables.
CREATE TABLE journal_mark (
	file TEXT PRIMARY KEY,
	bytes INTEGER NOT NULL
);

-- By which price a request was settled: immutable rows, named by a digest of what they say. -1: not known.
CREATE TABLE price (
	digest BLOB PRIMARY KEY,
	source TEXT NOT NULL,
	above_tokens INTEGER NOT NULL,
	nusd_input INTEGER NOT NULL,
	nusd_output INTEGER NOT NULL,
	nusd_cache_read INTEGER NOT NULL,
	nusd_cache_write_5m INTEGER NOT NULL,
	nusd_cache_write_1h INTEGER NOT NULL,
	nusd_input_audio INTEGER NOT NULL,
	nusd_output_audio INTEGER NOT NULL,
	nusd_characters INTEGER NOT NULL,
	nusd_sound_hour INTEGER NOT NULL,
	nusd_picture INTEGER NOT NULL
);
-- An empty blob: no price, or one from before prices were kept.
ALTER TABLE request ADD COLUMN price_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE request ADD COLUMN overrun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN tool TEXT NOT NULL DEFAULT '';

CREATE INDEX request_key ON request (key_id, id);

-- What a settled request cost more (or less, below zero) than its row and earlier corrections say. priced 1: its
-- row had no cost.
CREATE TABLE correction (
	id BLOB PRIMARY KEY,
	request_id BLOB NOT NULL,
	at_ms INTEGER NOT NULL,
	nusd INTEGER NOT NULL,
	priced INTEGER NOT NULL,
	actor TEXT NOT NULL,
	why TEXT NOT NULL
);
CREATE INDEX correction_request ON correction (request_id);

-- Final requests summed by the minute, the hour and the day, each by itself. user_id is '' in days: callers' own
-- ids may be as many as requests. status_class 2: answered with a status from 200 to 299. kind follows from op: 1 chat,
-- 2 embeddings, 3 pictures, 4 speech, 5 transcription, 6 others; 0 counting of tokens, which is no request.
CREATE TABLE usage_minute (
	at_ms INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT NOT NULL,
	member_id BLOB NOT NULL,
	group_id BLOB NOT NULL,
	project_id BLOB NOT NULL,
	status_class INTEGER NOT NULL,
	tool TEXT NOT NULL,
	kind INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	input INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost_nusd INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (at_ms, key_id, op, model_asked, provider, model_served, user_id, member_id, group_id, project_id,
		status_class, tool)
) WITHOUT ROWID;

DROP TABLE usage_hour;
CREATE TABLE usage_hour (
	at_ms INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT NOT NULL,
	member_id BLOB NOT NULL,
	group_id BLOB NOT NULL,
	project_id BLOB NOT NULL,
	status_class INTEGER NOT NULL,
	tool TEXT NOT NULL,
	kind INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	input INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost_nusd INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (at_ms, key_id, op, model_asked, provider, model_served, user_id, member_id, group_id, project_id,
		status_class, tool)
) WITHOUT ROWID;
INSERT INTO usage_hour
SELECT started_ms / 3600000 * 3600000, key_id, op, model_asked, provider, model_served, coalesce(user_id, ''),
	member_id, group_id, project_id, status / 100, '',
	max(CASE WHEN op IN ('chat', 'messages', 'responses') THEN 1 WHEN op = 'embeddings' THEN 2
		WHEN op IN ('images', 'image_edits') THEN 3 WHEN op = 'speech' THEN 4
		WHEN op IN ('transcriptions', 'translations') THEN 5 WHEN op = 'count_tokens' THEN 0 ELSE 6 END),
	count(*), sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END),
	sum(input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio),
	sum(cache_read), sum(cache_write_5m + cache_write_1h), sum(output), sum(reasoning),
	coalesce(sum(cost_nusd), 0), count(*) - count(cost_nusd)
FROM request WHERE final = 1 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;

CREATE TABLE usage_day (
	at_ms INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT NOT NULL,
	member_id BLOB NOT NULL,
	group_id BLOB NOT NULL,
	project_id BLOB NOT NULL,
	status_class INTEGER NOT NULL,
	tool TEXT NOT NULL,
	kind INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	input INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost_nusd INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (at_ms, key_id, op, model_asked, provider, model_served, user_id, member_id, group_id, project_id,
		status_class, tool)
) WITHOUT ROWID;
INSERT INTO usage_day
SELECT at_ms / 86400000 * 86400000, key_id, op, model_asked, provider, model_served, '', member_id, group_id, project_id,
	status_class, tool, max(kind), sum(requests), sum(failed), sum(input), sum(cache_read), sum(cache_write), sum(output),
	sum(reasoning), sum(cost_nusd), sum(unpriced)
FROM usage_hour GROUP BY 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12;

-- Whom keys belong to, and whose money is counted: the organisation (one), groups, projects, users (their name
-- is the e-mail address), service accounts. enforce 0: a group's limit is shown, not held.
CREATE TABLE scope (
	id BLOB PRIMARY KEY,
	kind INTEGER NOT NULL,
	name TEXT NOT NULL,
	title TEXT NOT NULL,
	role INTEGER NOT NULL,
	enforce INTEGER NOT NULL,
	monthly_limit_nusd INTEGER NOT NULL,
	weekly_limit_nusd INTEGER NOT NULL,
	daily_limit_nusd INTEGER NOT NULL,
	requests_per_minute INTEGER NOT NULL,
	tokens_per_minute INTEGER NOT NULL,
	in_flight INTEGER NOT NULL,
	access_id BLOB,
	created_ms INTEGER NOT NULL,
	UNIQUE (kind, name)
);
INSERT INTO scope VALUES (x'00000000000070008000000000000001', 1, 'My organization', '', 0, 1, 0, 0, 0, 0, 0, 0, NULL, 0);

CREATE TABLE group_member (
	group_id BLOB NOT NULL,
	user_id BLOB NOT NULL,
	admin INTEGER NOT NULL,
	PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX group_member_user ON group_member (user_id);

-- Which models may be used: rules is a JSON object of lists of models, one a kind of request.
CREATE TABLE access_list (
	id BLOB PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	auto_approve INTEGER NOT NULL,
	restricted INTEGER NOT NULL,
	rules TEXT NOT NULL,
	created_ms INTEGER NOT NULL
);

-- Beside the month's: limits of money by week and day, of requests and tokens a minute, of requests at once.
ALTER TABLE key ADD COLUMN weekly_limit_nusd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN daily_limit_nusd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN requests_per_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN in_flight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN user_id BLOB;
ALTER TABLE key ADD COLUMN group_id BLOB;
ALTER TABLE key ADD COLUMN project_id BLOB;
ALTER TABLE key ADD COLUMN account_id BLOB;
ALTER TABLE key ADD COLUMN access_id BLOB;
CREATE INDEX key_user ON key (user_id);
CREATE INDEX key_group ON key (group_id);
CREATE INDEX key_project ON key (project_id);
CREATE INDEX key_account ON key (account_id);
CREATE INDEX key_access ON key (access_id);

-- Whose the key was when the request came. An empty blob: nobody's.
ALTER TABLE request ADD COLUMN member_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE request ADD COLUMN group_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE request ADD COLUMN project_id BLOB NOT NULL DEFAULT x'';

CREATE TABLE usage_hour_2 (
	hour_ms INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT NOT NULL,
	member_id BLOB NOT NULL,
	group_id BLOB NOT NULL,
	project_id BLOB NOT NULL,
	requests INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	input INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost_nusd INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (hour_ms, key_id, op, model_asked, provider, model_served, user_id, member_id, group_id, project_id)
) WITHOUT ROWID;
INSERT INTO usage_hour_2
SELECT hour_ms, key_id, op, model_asked, provider, model_served, user_id, x'', x'', x'', requests, failed, input,
	cache_read, cache_write, output, reasoning, cost_nusd, unpriced FROM usage_hour;
DROP TABLE usage_hour;
ALTER TABLE usage_hour_2 RENAME TO usage_hour;

-- Every change of management, each with the hash of the one before: what was taken out or altered shows.
CREATE TABLE audit (
	seq INTEGER PRIMARY KEY,
	at_ms INTEGER NOT NULL,
	actor TEXT NOT NULL,
	source TEXT NOT NULL,
	action TEXT NOT NULL,
	target BLOB NOT NULL,
	old TEXT NOT NULL,
	new TEXT NOT NULL,
	hash BLOB NOT NULL
);

-- What a key may spend in a calendar month (nano-USD; 0: no limit), and labels (a JSON object of texts).
ALTER TABLE key ADD COLUMN monthly_limit_nusd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- Final requests summed by the hour. cost_nusd sums the known costs; unpriced counts the others.
CREATE TABLE usage_hour (
	hour_ms INTEGER NOT NULL,
	key_id BLOB NOT NULL,
	op TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	provider TEXT NOT NULL,
	model_served TEXT NOT NULL,
	user_id TEXT NOT NULL,
	requests INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	input INTEGER NOT NULL,
	cache_read INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL,
	cost_nusd INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (hour_ms, key_id, op, model_asked, provider, model_served, user_id)
) WITHOUT ROWID;
INSERT INTO usage_hour
SELECT started_ms / 3600000 * 3600000, key_id, op, model_asked, provider, model_served, coalesce(user_id, ''),
	count(*), sum(status >= 400),
	sum(input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio),
	sum(cache_read), sum(cache_write_5m + cache_write_1h), sum(output), sum(reasoning),
	coalesce(sum(cost_nusd), 0), count(*) - count(cost_nusd)
FROM request WHERE final = 1 GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- What becomes of parameters that a provider does not know: 0 as configured, 1 harmless ones are dropped,
-- 2 all are, 3 none.
ALTER TABLE key ADD COLUMN drop_params INTEGER NOT NULL DEFAULT 0;

/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/command.h"

#define FLAG_CONFIG                                                                                \
	{                                                                                          \
		"config", 'c', "FILE", "The configuration file; without it ./sluice.yaml"          \
	}
#define FLAG_DATA_DIR                                                                              \
	{                                                                                          \
		"data-dir", 0, "DIR", "The data directory, in place of the file's"                 \
	}
#define FLAG_OUTPUT                                                                                \
	{                                                                                          \
		"output", 'o', "FORM",                                                             \
			"json, table or tsv; without it a table on a terminal, else tsv"           \
	}
#define FLAG_END                                                                                   \
	{                                                                                          \
		NULL, 0, NULL, NULL                                                                \
	}

static const struct flag serve_flags[] = {
	FLAG_CONFIG,
	{"listen", 0, "ADDRESS", "IP:PORT or unix:/path, in place of the file's"},
	{"dev", 0, NULL,
		"Try it out: on 127.0.0.1:4000, with a simulator as provider \"sim\" and first "
		"keys"},
	{"check", 0, NULL, "Read the configuration, say whether it is valid, and end"},
	FLAG_END,
};

static const struct flag sim_flags[] = {
	{"listen", 0, "ADDR:PORT", "Where to; port 0: any. Without it 127.0.0.1:4010"},
	{"tls-cert", 0, "FILE", "Serve HTTPS with this certificate (PEM)"},
	{"tls-key", 0, "FILE", "and this private key (PEM)"},
	{"parent-fd", 0, "N", NULL},
	FLAG_END,
};

static const struct flag keys_list_flags[] = {FLAG_CONFIG, FLAG_DATA_DIR, FLAG_OUTPUT, FLAG_END};

static const struct flag keys_create_flags[] = {
	{"name", 'n', "NAME", "What the key is called; required, and there once only"},
	{"completions", 0, "RIGHT", "none, read or write (default): may it call models?"},
	{"manage", 0, "RIGHT", "none (default), read or write: may it manage this gateway?"},
	{"expires", 0, "TIME", "From now on, such as 12h or 90d; without it never"},
	{"drop-params", 0, "WHICH",
		"harmless, all or none: parameters that a provider lacks; else as configured"},
	{"secret-only", 0, NULL, "Nothing but the key, for scripts"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag keys_delete_flags[] = {
	{"yes", 'y', NULL, "Do not ask"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag audit_verify_flags[] = {
	{"last", 0, "HASH", "The hash that the last entry must have, as it was shown before"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag audit_ledger_flags[] = {FLAG_CONFIG, FLAG_DATA_DIR, FLAG_OUTPUT, FLAG_END};

static const struct flag audit_correct_flags[] = {
	{"request", 'r', "ID", "The request, req_...; required"},
	{"amount", 'a', "USD", "What it really cost, all in all; required"},
	{"why", 'w', "TEXT", "Such as the provider's invoice; required"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag migrate_flags[] = {
	{"check", 0, NULL, "Say the versions, and change nothing"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag backup_flags[] = {
	{"to", 0, "FILE", "Where to; required, and not there yet"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_END,
};

static const struct flag restore_flags[] = {
	{"from", 0, "FILE", "The backup; required"},
	{"force", 0, NULL, "Replace what is there"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_END,
};

static const struct flag models_list_flags[] = {
	{"provider", 'p', "NAME", "Only models whose id begins with NAME/"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag models_import_flags[] = {
	{"provider", 'p', "NAME", "Only this provider's models: openai, anthropic, vertex, ..."},
	{"dry-run", 0, NULL, "Say what would change, and change nothing"},
	{"force", 0, NULL, "Take prices that change more than ten times, too"},
	FLAG_CONFIG,
	FLAG_DATA_DIR,
	FLAG_OUTPUT,
	FLAG_END,
};

static const struct flag config_flags[] = {FLAG_CONFIG, FLAG_END};

static const struct flag config_show_flags[] = {
	FLAG_CONFIG,
	{"sources", 0, NULL, "Behind each value where it comes from"},
	FLAG_END,
};

static const struct flag version_flags[] = {
	{"verbose", 'v', NULL, "The libraries' versions too"},
	FLAG_OUTPUT,
	FLAG_END,
};

const struct command commands[] = {
	{"serve", "", 0, 0, "Run the gateway",
		"SIGTERM drains and ends, SIGHUP reads the configuration again.",
		"sluice serve --dev                       try it, nothing needed\n"
		"sluice serve -c /etc/sluice/sluice.yaml\n"
		"sluice serve --listen 0.0.0.0:8080",
		serve_flags, run_serve},
	{"init", "[FILE]", 0, 1, "Write a first configuration file",
		"Writes sluice.yaml, or FILE; \"-\" is the standard output. What is there is not "
		"overwritten.",
		"sluice init\n"
		"sluice init /etc/sluice/sluice.yaml",
		NULL, run_init},
	{"sim", "", 0, 0, "Run a simulated provider",
		"Answers in the providers' formats, with faults as told by the model's name; "
		"prints "
		"its address.",
		"sluice sim --listen 127.0.0.1:4010\n"
		"sluice sim --listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem",
		sim_flags, run_sim},
	{"keys list", "", 0, 0, "Show the API keys, never their text", NULL,
		"sluice keys list\n"
		"sluice keys list -o json | jq -r '.data[].name'",
		keys_list_flags, run_keys_list},
	{"keys create", "", 0, 0, "Make an API key; it is shown once",
		"In force at once, also in a running server. The key goes to the standard output, "
		"the rest to the standard error.",
		"sluice keys create --name alice\n"
		"sluice keys create --name ci --expires 90d\n"
		"sluice keys create --name admin --manage write --completions none\n"
		"KEY=$(sluice keys create --name app --secret-only)",
		keys_create_flags, run_keys_create},
	{"keys delete", "ID|NAME", 1, 1, "Delete an API key, in force at once", NULL,
		"sluice keys delete alice\n"
		"sluice keys delete 0198c1f2-8a4e-7d0c-9a58-5b1d7a0b2c11 --yes",
		keys_delete_flags, run_keys_delete},
	{"audit verify", "", 0, 0, "Say whether the log of management changes is whole",
		"Each entry holds a hash of itself and the one before. Keep the last hash "
		"elsewhere: "
		"with --last it is also seen when the newest entries were cut off.",
		"sluice audit verify\n"
		"sluice audit verify --last 5f3c...",
		audit_verify_flags, run_audit_verify},
	{"audit ledger", "", 0, 0, "Add up all requests, and compare with prices and usage",
		"Beside a running server too.",
		"sluice audit ledger\n"
		"sluice audit ledger -o json | jq .cost",
		audit_ledger_flags, run_audit_ledger},
	{"audit correct", "", 0, 0, "Say what a settled request really cost",
		"Its own row stays as it is: the difference is an entry of its own, which counts "
		"in "
		"usage and in what was spent of every limit. In force at once, also in a running "
		"server.",
		"sluice audit correct --request req_01k... --amount 0.0125 --why \"invoice 4711\"",
		audit_correct_flags, run_audit_correct},
	{"migrate", "", 0, 0, "Bring the database to this program's version",
		"A server does that at its start, too; this does it before, and says what is "
		"wrong. "
		"With --check exit 8 when a step is missing.",
		"sluice migrate --check\n"
		"sluice migrate -c /etc/sluice/sluice.yaml",
		migrate_flags, run_migrate},
	{"backup", "", 0, 0, "Write the database and the journals to one file",
		"Of one moment, beside a running server too; the same file from SQLite and "
		"PostgreSQL. It holds no key's text, but names, usage and what clients sent as "
		"labels. Configuration and imported models are not in it.",
		"sluice backup --to sluice-$(date +%F).backup", backup_flags, run_backup},
	{"restore", "", 0, 0, "Make the database what a backup holds",
		"Not while a server runs. The file's pages, the audit log and the sums are checked "
		"first. Into SQLite or PostgreSQL, wherever it came from. What --force replaces is "
		"set aside in the data directory with the ending .replaced (PostgreSQL: the rows "
		"go).",
		"sluice restore --from sluice-2026-11-01.backup\n"
		"sluice restore --from old.backup --force",
		restore_flags, run_restore},
	{"models list", "", 0, 0, "Show the known models: windows, prices, abilities",
		"What is built in, with what was imported and what the configuration says on top. "
		"Prices are in USD a million tokens.",
		"sluice models list --provider anthropic\n"
		"sluice models list -o json | jq '.data[] | select(.source == \"imported\")'",
		models_list_flags, run_models_list},
	{"models import", "FILE", 1, 1, "Take over windows and prices from a public price list",
		"Reads LiteLLM's model_prices_and_context_window.json, genai-prices' data.json and "
		"models.dev's api.json, told apart by their shape; says what changes. What the "
		"list "
		"does not say of a model stays. In force at once, also in a running server; the "
		"configuration's own prices stand above. Exit 8: some models were refused.",
		"sluice models import model_prices_and_context_window.json --dry-run\n"
		"sluice models import api.json --provider anthropic",
		models_import_flags, run_models_import},
	{"config check", "", 0, 0, "Say whether the configuration is valid",
		"Reads it as the server would. Exit 3 when it is not.",
		"sluice config check\n"
		"sluice config check -c /etc/sluice/sluice.yaml",
		config_flags, run_config_check},
	{"config show", "", 0, 0, "Show the values in force, secrets masked", NULL,
		"sluice config show\n"
		"sluice config show --sources -c /etc/sluice/sluice.yaml",
		config_show_flags, run_config_show},
	{"config reference", "", 0, 0, "All options, as a Markdown page", NULL,
		"sluice config reference | less", NULL, run_config_reference},
	{"version", "", 0, 0, "Show the version", NULL,
		"sluice version\n"
		"sluice version -v",
		version_flags, run_version},
	{"help", "[COMMAND|exit-codes|env|config]", 0, 2, "Help on a command or a topic", NULL,
		"sluice help keys create\n"
		"sluice help exit-codes",
		NULL, run_help},
	{NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

/* SPDX-License-Identifier: Apache-2.0 */
#include <libfyaml.h>
#include <llhttp.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <uv.h>
#include <yyjson.h>
#include <zlib.h>
#include "control/cli/command.h"
#include "machine/base/text.h"

static void write_libraries(struct buf *out, bool json)
{
	char yyjson[24], llhttp[24];
	const struct {
		const char *name, *version;
	} rows[] = {
		{"libuv", uv_version_string()},
		{"llhttp", llhttp},
		{"OpenSSL", OpenSSL_version(OPENSSL_FULL_VERSION_STRING)},
		{"yyjson", yyjson},
		{"SQLite", sqlite3_libversion()},
		{"libfyaml", fy_library_version()},
		{"zlib", zlibVersion()},
	};

	snprintf(yyjson, sizeof(yyjson), "%u.%u.%u", yyjson_version() >> 16,
		(yyjson_version() >> 8) & 255, yyjson_version() & 255);
	snprintf(llhttp, sizeof(llhttp), "%d.%d.%d", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
		LLHTTP_VERSION_PATCH);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (json)
			buf_printf(out, "%s\"%s\":\"%s\"", i > 0 ? "," : "", rows[i].name,
				rows[i].version);
		else
			buf_printf(out, "%-9s %s\n", rows[i].name, rows[i].version);
	}
}

int run_version(struct call *c)
{
	bool verbose = call_flag(c, "verbose") != NULL;
	struct buf out;
	int code;

	buf_init(&out, 8192);
	if (c->output == OUTPUT_JSON) {
		buf_append_cstr(&out, "{\"version\":\"" SLUICE_VERSION "\",\"libraries\":{");
		write_libraries(&out, true);
		buf_append_cstr(&out, "}}\n");
	} else {
		buf_append_cstr(&out, "sluice " SLUICE_VERSION "\n");
		if (verbose)
			write_libraries(&out, false);
	}
	code = call_put(c, buf_span(&out));
	buf_done(&out);
	return code;
}

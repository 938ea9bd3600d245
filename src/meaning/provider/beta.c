/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/provider.h"

/*
 * The betas of Anthropic's API that other hosts of its models take; one they do not know makes them
 * refuse the whole request. NULL: not there. Another name: what the host calls it. Sources: release
 * notes of the Claude API, of Vertex AI, of Amazon Bedrock and of Microsoft Foundry.
 */
static const struct beta {
	const char *name, *vertex, *bedrock, *azure;
} betas[] = {
#define SAME(name) name, name, name, name
	{SAME("interleaved-thinking-2025-05-14")},
	{SAME("fine-grained-tool-streaming-2025-05-14")},
	{SAME("context-1m-2025-08-07")},
	{SAME("context-management-2025-06-27")},
	{SAME("compact-2026-01-12")},
	{SAME("computer-use-2025-01-24")},
	{SAME("computer-use-2025-11-24")},
#undef SAME
	{"advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19",
		"tool-search-tool-2025-10-19,tool-examples-2025-10-29",
		"advanced-tool-use-2025-11-20"},
	{"tool-search-tool-2025-10-19", "tool-search-tool-2025-10-19",
		"tool-search-tool-2025-10-19", NULL},
	{"tool-examples-2025-10-29", NULL, "tool-examples-2025-10-29", NULL},
	{"token-efficient-tools-2025-02-19", NULL, "token-efficient-tools-2025-02-19", NULL},
	{"output-128k-2025-02-19", "output-128k-2025-02-19", "output-128k-2025-02-19", NULL},
	{"effort-2025-11-24", NULL, "effort-2025-11-24", "effort-2025-11-24"},
	{"web-search-2025-03-05", "web-search-2025-03-05", NULL, "web-search-2025-03-05"},
	{"web-fetch-2025-09-10", NULL, NULL, "web-fetch-2025-09-10"},
	{"structured-outputs-2025-11-13", NULL, NULL, "structured-outputs-2025-11-13"},
	{"code-execution-2025-08-25", NULL, NULL, "code-execution-2025-08-25"},
	{"files-api-2025-04-14", NULL, NULL, "files-api-2025-04-14"},
	{"skills-2025-10-02", NULL, NULL, "skills-2025-10-02"},
	{"mcp-client-2025-04-04", NULL, NULL, "mcp-client-2025-04-04"},
	{"mcp-client-2025-11-20", NULL, NULL, "mcp-client-2025-11-20"},
};

static struct span name_at(enum provider_claude host, struct span name)
{
	for (size_t i = 0; i < sizeof(betas) / sizeof(betas[0]); i++)
		if (span_is(name, betas[i].name))
			return span_of(host == CLAUDE_VERTEX    ? betas[i].vertex
				       : host == CLAUDE_BEDROCK ? betas[i].bedrock
				       : host == CLAUDE_AZURE   ? betas[i].azure
								: NULL);
	return (struct span){NULL, 0};
}

static bool has(struct span list, struct span name)
{
	while (list.n > 0)
		if (span_eq(span_trim(span_cut(&list, ',')), name))
			return true;
	return false;
}

struct span provider_betas(enum provider_claude host, struct span list, struct arena *a)
{
	struct span out = {NULL, 0};

	if (host == CLAUDE_ANTHROPIC)
		return list.n > 0 ? arena_copy(a, list) : out;
	while (list.n > 0) {
		struct span known = name_at(host, span_trim(span_cut(&list, ',')));

		while (known.n > 0) {
			struct span one = span_cut(&known, ',');

			if (has(out, one))
				continue;
			out = arena_join(a,
				(const struct span[]){out, out.n > 0 ? SPAN(",") : SPAN(""), one},
				3);
		}
	}
	return out;
}

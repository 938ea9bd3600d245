/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

/*
 * Amazon Bedrock. https://docs.aws.amazon.com/bedrock/latest/APIReference: one format for all
 * models; files by address are not taken. Vectors are asked for in each maker's own format.
 */
#define COHERE_EMBED                                                                               \
	"cohere.embed|us.cohere.embed|eu.cohere.embed|apac.cohere.embed|global.cohere.embed"

static const struct provider_path paths[] = {
	{LLM_OP_EMBEDDINGS, "/model/{model}/invoke", "amazon.titan-embed", &embed_titan},
	{LLM_OP_EMBEDDINGS, "/model/{model}/invoke", "amazon.nova-2-multimodal-embed", &embed_nova},
	{LLM_OP_EMBEDDINGS, "/model/{model}/invoke", COHERE_EMBED, &embed_bedrock_cohere},
	{LLM_OP_CONVERSE, "/model/{model}/{converse|converse-stream}"},
	{0, NULL},
};

const struct provider_type provider_bedrock = {.name = "bedrock",
	.base_url = "https://bedrock-runtime.{region}.amazonaws.com",
	.needs_key = true,
	.takes = PROVIDER_REGION | PROVIDER_ACCESS_KEY,
	.paths = paths,
	.regional = true,
	.catalog_prefix = "bedrock/",
	.auth = PROVIDER_AUTH_SIGV4,
	.claude = CLAUDE_BEDROCK,
	.quirks = {.no_url_images = true, .no_url_documents = true, .no_server_tools = true}};

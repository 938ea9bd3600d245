/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/cohere/cohere.h"

const struct codec codec_cohere = {
	.read_request = cohere_read_request,
	.write_request = cohere_write_request,
	.read_event = cohere_read_event,
	.read_end = cohere_read_end,
	.read_answer = cohere_read_answer,
	.write_event = cohere_write_event,
	.write_answer = cohere_write_answer,
	.url_media = 1u << LLM_MEDIA_IMAGE,
	.maker = LLM_MAKER_NONE,
};

/* {"message": "..."} is what error_read finds in any body. */
static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_cohere = {
	.name = "cohere",
	.read_error = error_read,
	.status = status,
	.codec = &codec_cohere,
};

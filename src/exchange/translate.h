/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * translate - an exchange whose client and provider speak different formats.
 *
 * Inside this folder. The client's body becomes a neutral request and that the provider's body; the
 * provider's answer becomes neutral events and those the client's. What the exchange wants to know
 * of an answer (usage, content, end) is kept in a struct tap, as in pass mode.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/dialect.h"

struct exchange;

/* One of the answers that were asked for. */
struct translated {
	struct translation *of;
	struct reading reading;
	struct writing writing;
	struct llm_message message;
};

struct translation {
	const struct codec *from, *to; /* the client's, the provider's */
	struct arena arena;
	yyjson_doc *doc; /* the client's body: the request points into it */
	struct llm_request *request;
	struct llm_target target;
	struct llm_notes notes;
	struct buf body; /* for the provider */
	/*
	 * Of several answers (Chat's n) each is read by itself, from the same events. The first
	 * has the usage of all.
	 */
	struct translated *answers;
	int n_answers;

	/* During one event. */
	struct exchange *x;
	struct buf *out; /* NULL: the answer is gathered, not streamed */
};

/* Reads the client's body; x->body is not needed afterwards. false: x->err is set. */
bool translate_read(struct exchange *x);
/* Writes the provider's (x->body_spans). */
bool translate_write(struct exchange *x);

/* One event of the provider; what the client sees is appended to `out`. x->tap says what was seen.
 */
void translate_event(struct exchange *x, struct span name, struct span data, struct buf *out);
/* The provider's stream ended cleanly: what was still owed is written, or x->tap->error set. */
void translate_end(struct exchange *x, struct buf *out);

/* The provider's whole answer. */
bool translate_answer(struct exchange *x, struct span text);
/* The client's, once the cost is known. */
bool translate_write_answer(struct exchange *x, struct buf *out);

/* Bytes held, for the memory limit. */
size_t translate_bytes(const struct translation *t);
void translate_done(struct translation *t);

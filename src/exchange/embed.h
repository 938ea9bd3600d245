/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * embed - embeddings from a provider of another format, or in another form than the client's.
 *
 * Inside this folder. The client's texts go out in as many calls as the provider needs, one after
 * the other; their answers together are the client's.
 */
#include "meaning/dialect/embedding.h"

struct exchange;
struct embedding;

/* Whether the provider's own answer would not do for this client. */
bool embed_is_needed(const struct exchange *x);
/* Reads the client's body. false: x->err is set. */
bool embed_read(struct exchange *x);
/* Writes the next call's (x->body_spans). */
bool embed_write(struct exchange *x);
/* The provider's whole answer to one call. *more: there are texts left for another. */
bool embed_take(struct exchange *x, struct span text, bool *more);
/* The client's, once the cost is known. */
bool embed_answer_client(struct exchange *x, struct buf *out);

/* Bytes held, for the memory limit. e NULL: none. */
size_t embed_bytes(const struct embedding *e);
void embed_done(struct embedding *e);

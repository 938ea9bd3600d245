/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <string.h>
#include "machine/crypto/hash.h"

/*
 * Idempotency-Key (as draft-ietf-httpapi-idempotency-key-header has it, the value read as plain
 * text): the first request with a key is made, the others get its answer, whole or as it comes.
 * They cost nothing. A request that was answered with an error leaves its key free, so that a retry
 * is a new try. One that runs goes on when its client is gone: the retry is on its way.
 */

#define MAX_KEY_CHARS 255

struct replay {
	struct answer_reader *reader; /* NULL once it was read */
	struct answer_about about;
	enum answer_part end; /* of ENDS, BREAKS, LOST, once there */
};

static bool read_key(struct exchange *x, struct span *key)
{
	const struct http_head *head = request_head(x->request);

	*key = http_field(head, "idempotency-key");
	if (http_field_count(head, "idempotency-key") > 1)
		return err_set(
			&x->err, ERR_BAD_REQUEST, "Idempotency-Key is sent twice; send it once");
	for (size_t i = 0; i < key->n; i++)
		if (key->p[i] < 0x20 || key->p[i] > 0x7e)
			return err_set(&x->err, ERR_BAD_REQUEST,
				"Idempotency-Key must be printable ASCII, such as a UUID");
	if ((key->p != NULL && key->n == 0) || key->n > MAX_KEY_CHARS)
		return err_set(&x->err, ERR_BAD_REQUEST,
			"Idempotency-Key must have 1 to %d characters; this one has %zu",
			MAX_KEY_CHARS, key->n);
	return true;
}

/* A form's boundary is made anew by each try of some clients: it is not part of what is sent. */
static struct span without_boundary(struct exchange *x)
{
	struct span left = buf_span(&x->body), mark = x->form.boundary, all;
	ptrdiff_t at;
	struct buf b;

	if (mark.n == 0)
		return left;
	buf_init(&b, left.n + 1);
	while ((at = span_find(left, mark)) >= 0) {
		buf_append(&b, span_head(left, (size_t)at));
		left = span_skip(left, (size_t)at + mark.n);
	}
	buf_append(&b, left);
	all = b.failed ? (struct span){NULL, 0} : arena_copy(&x->arena, buf_span(&b));
	x->arena.failed |= b.failed;
	buf_done(&b);
	return all;
}

/* Keys of two API keys are two keys. */
static bool make_digests(struct exchange *x, struct span key, struct answers_ask *ask)
{
	const char *op = llm_op_name(x->endpoint->op);
	char text[sizeof(struct id) + MAX_KEY_CHARS];
	uint8_t both[ANSWERS_DIGEST_BYTES + 32] = {0};

	memcpy(text, x->who.key_id.bytes, sizeof(struct id));
	memcpy(text + sizeof(struct id), key.p, key.n);
	hash_sha256((struct span){text, sizeof(struct id) + key.n}, ask->key);
	hash_sha256(without_boundary(x), both);
	memcpy(both + ANSWERS_DIGEST_BYTES, op, strnlen(op, 32));
	hash_sha256((struct span){(char *)both, sizeof(both)}, ask->body);
	return !x->arena.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
}

static void give(struct exchange *x, struct span bytes)
{
	if (!x->replay->about.stream) {
		if (!buf_append(&x->held, bytes))
			err_set(&x->err, ERR_NO_MEMORY, NULL);
		return;
	}
	if (!x->begun)
		relay_begin_answer(x);
	request_write(x->request, &bytes, 1);
}

/* As much as there is and the client takes. True: there is no more to come. */
static bool read_more(struct exchange *x)
{
	struct replay *r = x->replay;
	struct span bytes;

	while (x->err.code == ERR_OK && request_pending(x->request) == 0) {
		enum answer_part part = answer_read(r->reader, &r->about, &bytes);

		if (part == ANSWER_WAIT)
			return false;
		if (part == ANSWER_PART) {
			give(x, bytes);
			continue;
		}
		r->end = part;
		lookup_cancel(x);
		if (part == ANSWER_LOST && !x->begun)
			err_set(&x->err, ERR_CONFLICT,
				"The first request with this Idempotency-Key is running or was "
				"given up, and "
				"its answer cannot be kept; try again");
		else if (part == ANSWER_LOST)
			r->end = ANSWER_BREAKS;
		return true;
	}
	exchange_count_bytes(x);
	return x->err.code != ERR_OK;
}

static void on_ready(void *user)
{
	struct exchange *x = user;

	if (read_more(x))
		exchange_answered(x);
}

static bool refuse(struct exchange *x, enum answers_claim found, const struct answer_about *about)
{
	char id[ID_REQUEST_CHARS + 1];

	id_write_request(&about->request, id);
	switch (found) {
	case ANSWERS_OTHER:
		return err_set(&x->err, ERR_CONFLICT,
			"This Idempotency-Key was used by request %s with another body or another "
			"endpoint; use a new key for a new request",
			id);
	case ANSWERS_SPENT:
		return err_set(&x->err, ERR_CONFLICT,
			"This Idempotency-Key was used by request %s, whose answer is not kept any "
			"more; what it cost is in the usage. Use a new key to ask again",
			id);
	default:
		return err_set(&x->err, ERR_OVERLOADED,
			"There is no memory to remember this Idempotency-Key");
	}
}

enum move step_lookup(struct exchange *x)
{
	struct answers_ask ask = {.request = x->id,
		.now_ms = x->wall_ms,
		.mailbox = x->env->mailbox,
		.ready = on_ready,
		.user = x};
	struct answer_reader *reader = NULL;
	struct answer_about about = {0};
	enum answers_claim found;
	struct span key;

	if (!read_key(x, &key))
		return MOVE_FAIL;
	if (key.n == 0 || x->endpoint->op == LLM_OP_COUNT_TOKENS)
		return MOVE_NEXT;
	if (!make_digests(x, key, &ask))
		return MOVE_FAIL;
	found = answers_claim(x->env->answers, &ask, &x->writer, &reader, &about);
	if (found == ANSWERS_MINE)
		return MOVE_NEXT;
	if (found != ANSWERS_THEIRS) {
		refuse(x, found, &about);
		return MOVE_FAIL;
	}
	x->replay = ARENA_NEW(&x->arena, struct replay);
	if (x->replay == NULL) {
		answer_reader_close(reader);
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	*x->replay = (struct replay){.reader = reader};
	buf_done(&x->body);
	exchange_count_bytes(x);
	return read_more(x) ? MOVE_ANSWERED : MOVE_WAIT;
}

void lookup_drained(struct exchange *x)
{
	if (x->replay->reader != NULL && read_more(x))
		exchange_answered(x);
}

void lookup_cancel(struct exchange *x)
{
	if (x->replay == NULL || x->replay->reader == NULL)
		return;
	answer_reader_close(x->replay->reader);
	x->replay->reader = NULL;
}

/* ---- the answer, given again ---- */

const struct answer_about *lookup_about(const struct exchange *x)
{
	return x->replay != NULL ? &x->replay->about : NULL;
}

void lookup_answer(struct exchange *x)
{
	const struct answer_about *about = &x->replay->about;
	struct reply reply __attribute__((uninitialized));
	bool broken = x->replay->end == ANSWER_BREAKS;

	if (!x->begun && !broken && !about->stream) {
		reply_init(&reply, about->status, about->type);
		reply_add_exchange(&reply, x);
		out_answer(x, &reply, buf_span(&x->held));
	} else if (broken) {
		request_abort(x->request);
	} else {
		if (!x->begun)
			relay_begin_answer(x);
		request_end(x->request);
	}
}

/* ---- the writer's end ---- */

bool lookup_goes_on(const struct exchange *x)
{
	return x->writer != NULL && (x->step == STEP_DISPATCH || x->step == STEP_RELAY);
}

void lookup_end(struct exchange *x)
{
	bool kept = x->status < 400 && x->outcome != OUTCOME_CANCELLED;

	if (x->writer == NULL)
		return;
	answer_end(x->writer,
		!kept        ? ANSWER_VOID
		: x->out_cut ? ANSWER_CUT
			     : ANSWER_WHOLE,
		x->cost_nusd, x->wall_ms + x->snapshot->conf->idempotency_keep_ms);
	x->writer = NULL;
}

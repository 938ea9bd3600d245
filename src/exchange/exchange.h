/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * exchange - the life of one inference request, inside this folder only.
 *
 * The steps are a table in exchange.c. A step returns NEXT (the row's next step runs at once), WAIT
 * (one wake-up is armed that will call exchange_advance), FAIL (x->err says why; the row's
 * on_failure step runs), ANSWERED (the same without an error: nothing more is to be done for the
 * answer) or END (the exchange is gone). Memory of the exchange comes from its
 * arena and dies with it.
 */
#include "exchange/credential.h"
#include "exchange/embed.h"
#include "exchange/endpoint.h"
#include "exchange/env.h"
#include "exchange/fetch.h"
#include "exchange/translate.h"
#include "machine/crypto/sign_v4.h"
#include "machine/http/eventstream.h"
#include "machine/http/sse.h"

#define EXCHANGE_ARENA_BYTES (256u << 10)
#define EXCHANGE_MAX_ERROR_BODY (64u << 10)
#define EXCHANGE_MAX_FIELDS 48

enum step {
	STEP_RECEIVE,
	STEP_DECODE,
	STEP_LOOKUP,
	STEP_ROUTE,
	STEP_PLAN,
	STEP_FETCH,
	STEP_CREDENTIAL,
	STEP_HOLD,
	STEP_DISPATCH,
	STEP_RELAY,
	STEP_RETRY,
	STEP_SETTLE,
	STEP_FINISH,
	STEP_LINGER,
	STEP_COUNT
};

enum move { MOVE_NEXT, MOVE_WAIT, MOVE_FAIL, MOVE_ANSWERED, MOVE_END };

enum answer_kind {
	ANSWER_NONE,   /* the provider's head has not come */
	ANSWER_STREAM, /* events, passed on as they come */
	ANSWER_PLAIN,  /* one document, held until complete */
	ANSWER_BYTES,  /* sound, or text that is no JSON: passed on as it comes */
	ANSWER_ERROR   /* the provider refused: its error document, held */
};

struct exchange {
	struct list node; /* env->exchanges */
	struct exchange_env *env;
	enum step step;
	struct http_request *request; /* NULL once the client is gone or has its whole answer */
	struct http_call *call;       /* NULL when no call is open */
	struct snapshot *snapshot;
	struct arena arena;
	struct id id;
	char request_id[ID_REQUEST_CHARS + 1];
	const struct endpoint *endpoint;
	const struct dialect *dialect; /* the client's */
	struct auth_identity who;

	/* The request. */
	struct buf body;
	struct llm_facts facts; /* spans in the arena */
	struct llm_metadata meta;
	struct span referer, title, headers_extra; /* headers_extra: raw JSON object, or empty */
	struct span tool; /* title, or the product that the user agent names */
	const char *hint;

	/* A body of multipart/form-data; boundary.n == 0: it is JSON. */
	struct {
		struct span boundary; /* arena */
		struct span model;    /* the field's content in the body */
		struct span requesty; /* the whole part in the body */
	} form;

	/* The target of this attempt. */
	struct span target;      /* the model as the client or the policy names it */
	struct span policy;      /* its name, or empty */
	struct routing *routing; /* arena; NULL: there is one target, and one attempt */
	struct model_name name;
	const struct provider *provider;
	const struct provider_place *place;
	struct span upstream_model; /* the provider's own name of it */
	struct llm_quirks quirks;
	const struct llm_model *model;   /* NULL: not in the catalogue */
	enum llm_op op;                  /* as the provider is asked */
	struct translation *translation; /* NULL: pass mode */
	struct embedding *embedding;     /* NULL: vectors pass as they come */
	struct list token_node;          /* in a credential's `waiting` */
	struct span token;               /* for the provider; empty: it takes none */
	struct fetch *fetch;             /* NULL: nothing is fetched */
	struct loop_task fetch_task;
	int attempts;

	/* An answer that is given again. */
	struct answer *writer; /* of ours, for others; NULL: it is not kept */
	struct replay *replay; /* of another's, for our client; arena; NULL: we make it */
	bool out_cut;          /* what went out stays visibly incomplete */

	/* What it may cost. */
	struct budget_hold hold;    /* not open: there is no limit of money */
	struct budget_pass pass;    /* not open: there is no limit of rates */
	bool admitted;              /* the rates were asked: once, whatever the attempts */
	struct budget_rates *rates; /* what is left of them; arena; NULL: there are none */
	int64_t output_cap;         /* what goes to the provider instead of the client's; 0: that */
	bool cap_lowered;           /* it is lower than the client's: the answer says so */
	int retry_after_s;          /* of a refusal; 0: not worth it */

	/* The answer. */
	enum answer_kind answer;
	int upstream_status;
	struct span upstream_id, upstream_type;
	struct http_field
		passed[EXCHANGE_MAX_FIELDS / 2]; /* the provider's fields that go on; arena */
	int n_passed;
	struct buf held; /* the document, or what waits for the journal at a stream's end */
	struct sse sse;
	struct eventstream frames; /* instead of sse, when binary */
	bool binary;               /* the stream is one of frames (AWS) */
	struct tap *tap;           /* of a stream; arena */
	bool local;                /* the gateway answers by itself: `held` is the answer */
	bool begun;                /* the client has our head: from here errors are events */
	bool held_back;            /* `held` is what came before the answer's first content */
	bool gated;                /* output goes to `held` until the journal has the record */
	bool paused;
	bool error_sent;   /* the provider's own error event is part of what was written */
	bool final_usage;  /* the provider's last usage was seen */
	bool sent;         /* bytes of the call may have reached the provider */
	bool not_http;     /* what answered was no provider: nothing is owed */
	size_t text_bytes; /* of all texts in the request */
	int64_t plain_output_bytes;
	struct span usage_raw; /* in `held`; empty: not known */
	struct span body_spans[2 * JSON_MAX_SPLICES + 1];
	int n_body;
	int64_t progress_ms; /* a whole event, or enough bytes, came last then */
	size_t trickle;      /* bytes since */
	struct timer timer;
	struct journal_waiter waiter;

	/* How it ends. */
	struct err err;
	bool err_from_provider;
	char native_type[64], native_code[64];
	int status; /* what the client gets; 0: not decided */
	enum request_outcome outcome;
	enum request_basis basis;
	struct llm_usage usage;
	int64_t cost_nusd;
	bool left; /* its client is gone, and it is read on: the provider bills it all */
	size_t left_bytes;
	struct timer left_timer; /* when `left` */
	bool priced;             /* cost_nusd is usage times the model's price */
	bool overrun;            /* it cost more than was held */

	/* When. */
	int64_t wall_ms, start_us, received_us, first_us, overhead_us, last_ms, relay_ms;
	size_t buffered; /* counted in env->buffered_bytes */
};

/* Runs the first step. */
void exchange_begin(struct exchange *x);
/* Enters the next step and runs until one waits or the exchange is gone; from events only. */
void exchange_advance(struct exchange *x);
/* The provider is asked once more for the same request; from the end of a call. */
void exchange_again(struct exchange *x);
/* The answer is complete without the steps between; from events only. */
void exchange_answered(struct exchange *x);
/* The current step failed (x->err is set): on with its on_failure step. */
void exchange_fail(struct exchange *x);
const char *exchange_step_name(enum step s);
void exchange_free(struct exchange *x);

/* The decimal text of what `u` costs, or {NULL, 0} when the price is not known. */
struct span exchange_cost_text(const struct exchange *x, const struct llm_usage *u, char out[32]);

/* Bodies and answers held, and what clients have not taken yet, with `more` bytes are too much. */
bool exchange_is_full(const struct exchange_env *env, int64_t more);
/* Keeps env->buffered_bytes true after body or held grew or went. */
void exchange_count_bytes(struct exchange *x);

/* intake.c */
void intake_begin(struct exchange_env *env, struct http_request *r, const struct endpoint_match *m);
enum move step_receive(struct exchange *x);
enum move step_decode(struct exchange *x);

/* lookup.c: idempotency keys. */
enum move step_lookup(struct exchange *x);
void lookup_drained(struct exchange *x); /* the client took what was given again */
void lookup_cancel(struct exchange *x);  /* nothing more is read */
void lookup_answer(struct exchange *x);  /* the end of an answer given again, or all of it */
const struct answer_about *lookup_about(const struct exchange *x); /* NULL: it is our own */
bool lookup_goes_on(const struct exchange *x);                     /* though its client is gone */
void lookup_end(struct exchange *x); /* of an answer that was kept for others */

/* route.c: policies, and the attempts that they make. */
enum move step_route(struct exchange *x);
/* Behind a failed attempt: waits, then leads to the next one. FAIL: that was the last. */
enum move step_retry(struct exchange *x);
/* The answer of a policy's target is complete. */
void route_succeeded(struct exchange *x);
/* Another attempt may follow this one as long as the client has nothing. */
bool route_may_go_on(const struct exchange *x);

/* commit.c */
enum move step_plan(struct exchange *x);
enum move step_fetch(struct exchange *x); /* then, in translation, the body is written */

/* credential.c */
enum move step_credential(struct exchange *x);

/* count.c: tokens of a prompt whose provider cannot count them; an estimate. */
bool count_locally(struct exchange *x);

/* form.c */
bool form_is_wanted(const struct exchange *x); /* by the endpoint */
bool form_read(struct exchange *x, struct span boundary);
bool form_edit(struct exchange *x);

/* hold.c: spending limits. */
bool hold_take(struct exchange *x);
/* Whether the rates of its key and whom that belongs to allow it now; hold_settle gives back. */
bool hold_admit(struct exchange *x); /* before the body is written; false: refused */
enum move step_hold(struct exchange *x);
void hold_settle(struct exchange *x);              /* once the cost is known */
void hold_spend(struct exchange *x, int64_t cost); /* by an attempt without a hold */
/* What is held, or would be where there is no limit. false: nobody knows. */
bool hold_most(const struct exchange *x, int64_t *nusd);

/* sign.c: the fields that sign the call (AWS), behind the *n that are there. */
bool sign_call(
	struct exchange *x, const struct provider_call *call, struct http_field *fields, int *n);

/* relay.c */
enum move step_dispatch(struct exchange *x);
enum move step_relay(struct exchange *x);
enum move step_linger(struct exchange *x);
void relay_begin_answer(struct exchange *x); /* the head of a streamed answer */
void relay_client_drained(struct exchange *x);
/* Reads on without a client; false: it need not, or there are too many that do. */
bool relay_read_on(struct exchange *x);
void relay_cancel(struct exchange *x); /* closes the upstream at once */

/* close.c */
enum move step_settle(struct exchange *x);
enum move step_finish(struct exchange *x);
/* What went wrong was the provider's doing, not the client's or ours. */
bool exchange_is_provider_fault(const struct exchange *x);
void close_client_gone(struct exchange *x, const struct err *why);
/* The record so far, not final: written before a usage leaves that the client will take as the
 * bill. What was gated leaves behind it. */
void close_checkpoint(struct exchange *x);
/*
 * An attempt that failed, with others to follow: its hold is given back, and if it cost anything it
 * is a request of its own in the records.
 */
void close_attempt(struct exchange *x);
/* What is held, as the record of a request that never ended. false: x->err is set. */
bool close_hold_record(struct exchange *x);

/* meter.c */
struct exchange_meters *meters_new(struct exchange_env *env);
void meters_free(struct exchange_meters *m);
void meters_begin(struct exchange_env *env);
void meters_end(const struct exchange *x); /* metrics and the access line */
/*
 * The same for what never became an exchange: a refusal (err is set), or an answer that needed no
 * provider. e NULL: no such address, or the head could not be read. r NULL: the latter.
 */
void meters_local(struct exchange_env *env, const struct endpoint *e, struct http_request *r,
	const char *request_id, int status, const struct err *err);

/* reply.c */
struct reply {
	struct http_reply http;
	struct http_field fields[EXCHANGE_MAX_FIELDS];
	char cost[40], attempts[20], latency[24], cap[24], replay_of[ID_REQUEST_CHARS + 1];
};
/* x may be NULL (no exchange was made): then only request id and CORS fields. */
void reply_init(struct reply *reply, int status, const char *content_type);
void reply_add(struct reply *reply, const char *name, struct span value);
void reply_add_id(struct reply *reply, const char *request_id);
void reply_add_cors(struct reply *reply, const struct snapshot *s, const struct http_head *head);
void reply_add_exchange(struct reply *reply, struct exchange *x);

/* The refusal of a request that never became an exchange, in the caller's dialect. */
void reply_error(struct exchange_env *env, struct http_request *r, const struct dialect *d,
	const struct err *err);

/*
 * out.c: the answer's bytes, to the client (x->request NULL: there is none any more) and to the
 * copy that is kept. out_answer, out_end and out_abort are the last; the request pointer is gone.
 */
void out_begin(struct exchange *x, const struct reply *reply);
void out_write(struct exchange *x, struct span bytes);
void out_end(struct exchange *x, struct span bytes);
void out_abort(struct exchange *x);
void out_answer(struct exchange *x, const struct reply *reply, struct span body);
void out_answer_spans(
	struct exchange *x, const struct reply *reply, const struct span *body, int n);

/* local.c: answers that need no provider. */
void local_answer(struct exchange_env *env, struct http_request *r, const struct endpoint_match *m);
void local_preflight(struct exchange_env *env, struct http_request *r);

/* intake.c, for local.c: who is calling. absent_ok: no credential is no error (found says so). */
bool intake_identify(struct exchange_env *env, const struct http_head *head, bool absent_ok,
	bool *found, struct auth_identity *who, struct err *err);
void exchange_make_id(struct exchange_env *env, struct id *id);

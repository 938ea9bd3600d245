/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * access - which models a key may use: access lists, and what they are attached to.
 *
 * The key's own list counts, else that of its group; and whatever the organisation's list (its
 * approved models) does not have nobody may use. Nothing attached: every model. A list has a set
 * for each kind of request ("chat", "embedding", "image", "transcription", "speech"); '*' in an
 * entry stands for any characters. Shared by all threads; a change is in force when it returns.
 */
#include "state/auth/auth.h"

struct access;

struct access *access_new(struct err *err);
void access_free(struct access *a);
bool access_load(struct access *a, struct store *s, struct err *err);

/* ERR_BAD_REQUEST names what is wrong with its rules. Pure. */
bool access_check(struct span rules, bool auto_approve, struct err *err);
/* A new list, or the rules of one that is known. */
bool access_set(struct access *a, const struct access_row *row, struct err *err);
void access_drop(struct access *a, const struct id *list);
/* To a group or the organisation; a list of no id takes away what was attached. */
bool access_attach(
	struct access *a, const struct id *scope, const struct id *list, struct err *err);

extern const char *const access_kinds[]; /* ends with NULL */
/* The kind of a request: "chat" for messages and responses too. */
const char *access_kind(enum llm_op op);
/* Whether there is a list that could say no. */
bool access_is_limited(struct access *a, const struct auth_identity *who);
/*
 * `model` is "provider/model", "@region" included or not. false: `list` (129 bytes) is the name of
 * the one that says no.
 */
bool access_allows(struct access *a, const struct auth_identity *who, enum llm_op op,
	struct span model, char *list);

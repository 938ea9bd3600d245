/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/account.h"
#include "machine/base/json.h"
#include "machine/base/json_put.h"

#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define LIFE_S 3600
#define MAX_TOKEN_BYTES 8192

static bool take(yyjson_val *root, const char *key, bool required, struct arena *a,
	struct span *out, struct err *err)
{
	struct span text = {NULL, 0};

	json_get_str(root, key, &text);
	if (text.n == 0 && required)
		return err_set(
			err, ERR_CONFIG, "the service account's key file has no \"%s\"", key);
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return err_set(err, ERR_CONFIG,
			"\"%s\" in the service account's key file is not valid", key);
	*out = text.n > 0 ? arena_copy(a, text) : text;
	return !a->failed || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool read_members(
	yyjson_val *root, struct arena *a, struct google_account *out, struct err *err)
{
	struct span type = {NULL, 0};

	json_get_str(root, "type", &type);
	if (!span_is(type, "service_account"))
		return err_set(err, ERR_CONFIG,
			"the key file is not one of a service account: its \"type\" is another");
	return take(root, "client_email", true, a, &out->client_email, err) &&
	       take(root, "private_key", true, a, &out->private_key, err) &&
	       take(root, "token_uri", true, a, &out->token_uri, err) &&
	       take(root, "private_key_id", false, a, &out->private_key_id, err) &&
	       take(root, "project_id", false, a, &out->project_id, err);
}

bool google_account_read(
	struct span json, struct arena *a, struct google_account *out, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, json, NULL);
	struct google_account account = {0};
	bool ok;

	if (doc == NULL)
		return err_set(err, ERR_CONFIG, "the service account's key file is no valid JSON");
	ok = read_members(yyjson_doc_get_root(doc), a, &account, err);
	json_free(doc);
	if (ok)
		*out = account;
	return ok;
}

bool google_claims_write(const struct google_account *account, int64_t now_s, struct buf *out)
{
	buf_append_char(out, '{');
	json_put_str(out, "iss", account->client_email);
	json_put_cstr(out, "scope", SCOPE);
	json_put_str(out, "aud", account->token_uri);
	json_put_int(out, "iat", now_s);
	json_put_int(out, "exp", now_s + LIFE_S);
	buf_append_char(out, '}');
	return !out->failed;
}

/* RFC 6749 5.2: error is a plain word, "invalid_grant". */
static bool is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '_')
			return false;
	return s.n > 0 && s.n <= 40;
}

static bool refuse(int status, yyjson_val *root, struct err *err)
{
	enum err_code code = status >= 400 && status <= 403 ? ERR_UPSTREAM_AUTH : ERR_UPSTREAM;
	struct span word = {NULL, 0};

	json_get_str(root, "error", &word);
	if (is_word(word))
		return err_set(err, code, "Google gave no token for the service account: %.*s",
			SPAN_ARG(word));
	return err_set(
		err, code, "Google gave no token for the service account: status %d", status);
}

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= MAX_TOKEN_BYTES;
}

bool google_token_read(int status, struct span body, struct arena *a, struct span *token,
	int64_t *seconds, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, body, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct span text = {NULL, 0};
	int64_t life = LIFE_S;
	bool ok = false;

	json_get_str(root, "access_token", &text);
	if (status != 200) {
		refuse(status, root, err);
	} else if (!is_token(text)) {
		err_set(err, ERR_UPSTREAM, "Google's answer to the service account holds no token");
	} else {
		json_get_count(root, "expires_in", &life);
		text = arena_copy(a, text);
		ok = text.p != NULL || err_set(err, ERR_NO_MEMORY, NULL);
	}
	json_free(doc);
	if (ok) {
		*token = text;
		*seconds = life < LIFE_S ? life : LIFE_S;
	}
	return ok;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * media - pictures, documents and sound in a request: addresses and types.
 */
#include "meaning/llm/request.h"

/*
 * Reads what clients put where an address is expected: "data:<type>;base64,<data>" (also without
 * base64, percent-encoded; RFC 2397), an http(s), gs or s3 address, or, with `bare_ok`, bare
 * base64. Fills from, data and mime (from the data URL, or sniffed). A percent-encoded one is
 * decoded into the arena. ERR_BAD_REQUEST without the client's data in it.
 */
bool llm_media_read(
	struct arena *a, struct span text, bool bare_ok, struct llm_media *m, struct err *err);

/*
 * Whether the data is base64 where it should be, and the type one of a header's letters: the
 * writers put both into JSON as they are. Ask for all media that llm_media_read did not read.
 */
bool llm_media_is_sound(const struct llm_media *m);

/*
 * The type by the first bytes (png, jpeg, gif, webp, pdf, wav, mp3, ogg, flac, mp4, webm) of base64
 * data; {NULL, 0}: not known. What the bytes say counts more than what the client says.
 */
struct span llm_media_sniff(struct span base64);

/* The type to send: sniffed, else said, else by the file's name, else {NULL, 0}. Needs no escapes.
 */
struct span llm_media_type(const struct llm_media *m);

/* "png" for "image/png", "pdf", "wav", "mp3" for "audio/mpeg", "txt" for "text/plain"; NULL. */
const char *llm_media_format(struct span mime);

/* Appends "data:<type>;base64,<data>" as a JSON string; base64 media only. */
void llm_media_put_url(struct buf *b, const char *key, const struct llm_media *m);

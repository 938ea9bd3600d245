/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * openai_media - pictures and sound of the OpenAI API: images/generations, images/edits,
 * audio/speech, audio/transcriptions, audio/translations.
 *
 * Pass mode alone: these bodies are not translated. Source: OpenAI API reference ("Images",
 * "Audio"); limits: product.md 4.6, 4.7.
 */
#include "meaning/dialect/shared.h"

#define MAX_IMAGES 10
#define MAX_SPEECH_CHARACTERS 4096

/* input_tokens, output_tokens and their details; u->present only when it counts something. */
void media_read_usage(yyjson_val *usage, struct llm_usage *u);
enum tap_verdict media_tap(struct tap *t, struct span name, struct span data, struct buf *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pipe - two streams in memory, joined; what one writes the other reads, from the loop.
 *
 * For tests: no sockets, and the reader's split points are chosen by the writer (one read a
 * write, or `max_read_bytes` at a time when that is not 0). What is written to an end that was
 * closed is dropped without a word, as a lingering socket does it; after a reset writing fails.
 */
#include "machine/net/stream.h"

bool pipe_open(struct loop *l, size_t max_read_bytes, struct stream *ends[2]);

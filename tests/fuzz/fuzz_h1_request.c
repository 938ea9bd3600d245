/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 requests, several on one connection. */
#include "h1_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(H1_REQUEST, data, size);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/address.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "machine/net/socket.h"

static void splits_host_and_port(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
	} good[] = {
		{"127.0.0.1:4000", "127.0.0.1", 4000},
		{"[::1]:0", "::1", 0},
		{"api.example.com:443", "api.example.com", 443},
		{"a:65535", "a", 65535},
	};
	static const char *const bad[] = {"", ":", ":1", "a", "a:", "a:x", "a:65536", "a:-1",
		"::1:80", "[::1]", "[::1", "[]:80", "[::1]x:80", "a[:80", "a: 80", "a:80 ",
		"unix:/tmp/x"};
	struct span host;
	int port;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(socket_split_address(span_of(good[i].text), &host, &port));
		assert_true(span_is(host, good[i].host));
		assert_int_equal(port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		port = -7;
		assert_false(socket_split_address(span_of(bad[i]), &host, &port));
		assert_int_equal(port, -7);
	}
}

static void literals_come_back_as_text(void **state)
{
	static const char *const texts[][2] = {{"203.0.113.7", "203.0.113.7:443"},
		{"2001:db8::1", "[2001:db8::1]:443"}, {"::ffff:10.1.2.3", "10.1.2.3:443"}};
	char out[ADDRESS_TEXT_BYTES];
	struct address a;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_true(address_read_ip(&a, span_of(texts[i][0]), 443));
		address_write(&a, out);
		assert_string_equal(out, texts[i][1]);
		assert_int_equal(address_port(&a), 443);
	}
	assert_true(address_read_ip(&a, SPAN("fe80::1%lo"), 1));
	assert_true(a.v6.sin6_scope_id > 0);
}

static void names_and_near_literals_are_no_literals(void **state)
{
	static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g",
		"fe80::1%nosuchif", "1.2.3.4 ",
		"11111111111111111111111111111111111111111111111111111111111111111111111"};
	struct address a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(address_read_ip(&a, span_of(bad[i]), 1));
	assert_false(address_read_ip(&a, span_from("1.2.3.4\0", 8), 1));
}

static void socket_paths_are_bounded(void **state)
{
	char path[200];
	char out[ADDRESS_TEXT_BYTES];
	struct address a;

	memset(path, 'p', sizeof(path));
	assert_true(address_read_unix(&a, span_from(path, 107)));
	address_write(&a, out);
	assert_string_equal(out, "unix");
	assert_false(address_read_unix(&a, span_from(path, 108)));
	assert_false(address_read_unix(&a, SPAN("")));
	assert_false(address_read_unix(&a, span_from("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_host_and_port),
		cmocka_unit_test(literals_come_back_as_text),
		cmocka_unit_test(names_and_near_literals_are_no_literals),
		cmocka_unit_test(socket_paths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

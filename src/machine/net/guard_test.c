/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static bool is_public(const char *text)
{
	struct address a;

	assert_true(address_read_ip(&a, span_of(text), 80));
	return guard_is_public(&a);
}

static void the_internet_is_public(void **state)
{
	static const char *const good[] = {"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
		"192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "::ffff:8.8.8.8",
		"64:ff9b::808:808", "2002:808:808::1"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!is_public(good[i]))
			fail_msg("%s", good[i]);
}

static void the_rest_is_not(void **state)
{
	static const char *const bad[] = {"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255",
		"127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
		"::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::808:808",
		"100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "fc00::1",
		"fd12::1", "fe80::1", "fec0::1", "ff02::1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (is_public(bad[i]))
			fail_msg("%s", bad[i]);
}

static void a_local_socket_is_not(void **state)
{
	struct address a;

	assert_true(address_read_unix(&a, SPAN("/tmp/x")));
	assert_false(guard_is_public(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_internet_is_public),
		cmocka_unit_test(the_rest_is_not),
		cmocka_unit_test(a_local_socket_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

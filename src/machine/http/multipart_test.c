/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/multipart.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const char form[] = "--XX\r\n"
			   "Content-Disposition: form-data; name=\"model\"\r\n"
			   "\r\n"
			   "openai/whisper-1\r\n"
			   "--XX\r\n"
			   "content-type: audio/wav\r\n"
			   "Content-Disposition: form-data; filename=\"a;b.wav\"; name=file\r\n"
			   "\r\n"
			   "RIFF\r\n--X\r\n\0data\r\n"
			   "--XX\r\n"
			   "Content-Disposition: form-data; name=\"empty\"\r\n"
			   "\r\n"
			   "\r\n"
			   "--XX--\r\n";

static void a_form_is_read(void **state)
{
	struct multipart m;
	struct err err = {0};
	bool twice;

	assert_true(multipart_read(SPAN(form), SPAN("XX"), &m, &err));
	assert_int_equal(m.n, 3);
	assert_true(span_is(m.parts[0].content, "openai/whisper-1"));
	assert_null(m.parts[0].filename.p);
	assert_true(span_is(m.parts[1].name, "file"));
	assert_true(span_is(m.parts[1].filename, "a;b.wav"));
	assert_true(span_is(m.parts[1].type, "audio/wav"));
	assert_true(span_eq(m.parts[1].content, SPAN("RIFF\r\n--X\r\n\0data")));
	assert_int_equal(m.parts[2].content.n, 0);
	assert_ptr_equal(multipart_find(&m, SPAN("file"), &twice), &m.parts[1]);
	assert_false(twice);
	assert_null(multipart_find(&m, SPAN("none"), &twice));
	assert_ptr_equal(m.parts[0].whole.p, form);
	assert_true(span_starts(m.parts[1].whole, SPAN("\r\n--XX\r\ncontent-type")));
	assert_true(span_ends(m.parts[1].whole, SPAN("data")));
}

static void boundaries(void **state)
{
	assert_true(span_is(multipart_boundary(SPAN("multipart/form-data; boundary=abc")), "abc"));
	assert_true(span_is(
		multipart_boundary(SPAN("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"")),
		"a b"));
	assert_null(multipart_boundary(SPAN("multipart/mixed; boundary=abc")).p);
	assert_null(multipart_boundary(SPAN("multipart/form-data")).p);
	assert_null(multipart_boundary(SPAN("multipart/form-data; boundary=\"abc")).p);
	assert_null(multipart_boundary(SPAN("multipart/form-data; boundary=a\"b")).p);
	assert_null(multipart_boundary(SPAN("application/json")).p);
}

static void broken_forms_are_refused(void **state)
{
	static const char *const broken[] = {
		"",
		"--YY\r\n",
		"--XX",
		"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue",
		"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue\r\n--XX",
		"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue\r\n--XXtail\r\n--XX--",
		"--XX\r\nContent-Type: text/plain\r\n\r\nvalue\r\n--XX--",
		"--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nvalue\r\n--XX--",
		"--XX\r\nno colon\r\n\r\nvalue\r\n--XX--",
		"--XX\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: "
		"base64\r\n\r\nvalue\r\n--XX--",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct multipart m;
		struct err err = {0};

		assert_false(multipart_read(span_of(broken[i]), SPAN("XX"), &m, &err));
		assert_int_equal(err.code, ERR_BAD_REQUEST);
	}
}

/* Every cut of a good form is no form, and is never read past its end. */
static void a_cut_form_is_refused(void **state)
{
	const struct span whole = SPAN(form);
	struct multipart m;

	for (size_t n = 0; n < whole.n - 4; n++) {
		struct err err = {0};
		char *copy = malloc(n + 1);

		memcpy(copy, whole.p, n);
		assert_false(multipart_read((struct span){copy, n}, SPAN("XX"), &m, &err));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_form_is_read),
		cmocka_unit_test(boundaries),
		cmocka_unit_test(broken_forms_are_refused),
		cmocka_unit_test(a_cut_form_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

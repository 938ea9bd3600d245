/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/tokens.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* What the o200k vocabulary makes of these texts (counted with the encoder's reference code). */
static const struct {
	const char *text;
	int64_t o200k;
} samples[] = {
	{"Please summarise the following conversation between a customer and a support agent, and "
	 "suggest three possible next steps that would resolve the customer's complaint.",
		27},
	{"static bool read_body(struct exchange *x, struct translation *t)\n{\n\tt->doc = "
	 "json_read_raw(NULL, buf_span(&x->body), false, &x->err);\n\tif (t->doc == "
	 "NULL)\n\t\treturn false;\n\treturn true;\n}\n",
		54},
	{"def fetch(url: str, timeout: float = 10.0) -> bytes:\n    with requests.get(url, "
	 "timeout=timeout, stream=True) as answer:\n        answer.raise_for_status()\n        "
	 "return answer.content\n",
		45},
	{"{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"What is 12345 "
	 "times 678?\"}],\"temperature\":0.7,\"max_tokens\":1000}",
		42},
	{"今天的天气非常好，我们一起去公园散步吧。人工智能正在改变世界的各个方面，许多公司都在使用"
	 "大型语言模型来提高效率。",
		37},
	{"Сегодня прекрасная погода, и мы решили прогуляться по парку вместе с друзьями. "
	 "Искусственный интеллект меняет мир вокруг нас.",
		30},
	{"Die Geschwindigkeitsbegrenzung auf der Straße wurde überprüft, während die Größe der "
	 "Überraschung außergewöhnlich war.",
		24},
	{"El niño comió una manzana mientras su mamá leía un periódico en la habitación. ¿Cuánto "
	 "cuesta esta canción?",
		25},
	{"الذكاء الاصطناعي يغير العالم من حولنا ونحن نتعلم كل يوم شيئا جديدا عن اللغات والبرمجة.",
		30},
	{"| column | value |\n|---|---|\n| a | 1 |\n| b | 2 |\n\n- first\n- second\n- third\n", 31},
};

static void near_the_true_count(void **state)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		int64_t n = llm_tokens_of_text(span_of(samples[i].text));

		if (n * 100 < samples[i].o200k * 80 || n * 100 > samples[i].o200k * 140 + 200)
			fail_msg("%zu: %lld tokens, o200k has %lld", i, (long long)n,
				(long long)samples[i].o200k);
	}
}

static void nothing_costs_nothing(void **state)
{
	assert_int_equal(llm_tokens_of_text((struct span){NULL, 0}), 0);
	assert_int_equal(llm_tokens_of_text(SPAN("a")), 1);
	assert_in_range(llm_tokens_of_text(SPAN("\xff\xc3")), 1, 4); /* no UTF-8 */
}

static void a_request_is_the_sum_of_its_parts(void **state)
{
	struct llm_request *q;
	struct llm_block *b;
	struct llm_tool *tool;
	struct arena a;
	int64_t plain, with_tool, with_image;

	arena_init(&a, 1 << 20);
	q = llm_request_new(&a);
	b = llm_add_block(&a, &llm_add_turn(&a, q, LLM_ROLE_USER)->blocks, LLM_BLOCK_TEXT);
	b->text = SPAN("The quick brown fox jumps over the lazy dog.");
	plain = llm_tokens_of_request(q, SPAN("gpt-4o"));
	assert_in_range(plain, 12, 20);
	assert_true(llm_tokens_of_request(q, SPAN("claude-opus-4-7")) > plain * 17 / 10);
	assert_in_range(llm_tokens_of_request(q, SPAN("claude-3-5-haiku-20241022")), plain,
		plain * 13 / 10);
	tool = llm_add_tool(&a, q, LLM_TOOL_FUNCTION);
	tool->name = SPAN("get_weather");
	with_tool = llm_tokens_of_request(q, SPAN("gpt-4o"));
	assert_true(with_tool > plain + 10);
	b = llm_add_block(&a, &q->turns->blocks, LLM_BLOCK_MEDIA);
	b->media = (struct llm_media){.kind = LLM_MEDIA_IMAGE, .data = SPAN("iVBORw0K")};
	with_image = llm_tokens_of_request(q, SPAN("gpt-4o"));
	assert_true(with_image >= with_tool + 1000);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(near_the_true_count),
		cmocka_unit_test(nothing_costs_nothing),
		cmocka_unit_test(a_request_is_the_sum_of_its_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

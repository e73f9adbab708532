// SPDX-License-Identifier: BSD-3-Clause
// polluxctl's text: what people see of a reply.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "render.h"

static void expect(const char *json, const char *show, const char *text)
{
	char *made = NULL;
	size_t bytes;
	FILE *to = open_memstream(&made, &bytes);
	json_t *data = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *members = show ? json_loads(show, 0, NULL) : NULL;
	assert_non_null(data);
	render(to, data, members);
	fclose(to);
	assert_string_equal(made, text);
	free(made);
	json_decref(data);
	json_decref(members);
}

static void an_object_is_aligned_lines(void **state)
{
	(void)state;
	expect("{\"a\":1,\"long_key\":\"x\",\"yes\":true,\"no\":false,\"nothing\":null,\"part\":0.5}", NULL,
		"a:        1\nlong key: x\nyes:      yes\nno:       no\nnothing:  -\npart:     0.5\n");
}

static void an_array_of_objects_is_a_table_with_numbers_to_the_right(void **state)
{
	(void)state;
	expect("[{\"name\":\"a\",\"count\":5},{\"name\":\"longer\",\"count\":1234},{\"name\":\"b\",\"count\":null}]", NULL,
		"name    count\na           5\nlonger   1234\nb           -\n");
}

static void no_line_of_a_table_ends_with_spaces(void **state)
{
	(void)state;
	expect("[{\"a\":\"x\",\"b\":\"long text\"},{\"a\":\"y\",\"b\":\"\"},{\"a\":\"z\"}]", NULL,
		"a  b\nx  long text\ny\nz\n");
}

static void rows_may_have_different_keys(void **state)
{
	(void)state;
	expect("[{\"a\":1},{\"b\":2}]", NULL, "a  b\n1\n   2\n");
}

static void what_is_nested_is_indented_and_outermost_sections_stand_apart(void **state)
{
	(void)state;
	expect("{\"v\":1,\"in\":{\"x\":1,\"deep\":{\"y\":2}},\"rows\":[{\"k\":1}],\"list\":[\"p\",\"q\"],\"end\":2}", NULL,
		"v:   1\n\nin:\n  x: 1\n  deep:\n    y: 2\n\nrows:\n  k\n  1\n\nlist:\n  p\n  q\n\nend: 2\n");
}

static void what_is_empty_is_called_none(void **state)
{
	(void)state;
	expect("[]", NULL, "none\n");
	expect("{}", NULL, "none\n");
	expect("{\"list\":[],\"map\":{}}", NULL, "list: none\nmap:  none\n");
}

static void only_the_members_to_be_shown_are_seen_in_their_order(void **state)
{
	(void)state;
	expect("{\"a\":1,\"b\":2,\"c\":3}", "[\"c\",\"a\",\"none such\",7]", "c: 3\na: 1\n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	(void)state;
	expect("{\"k\\u001b\":\"\\u001b[31mred\\u0007\\u009b\\u007f\\u0000\"}", NULL, "k?: ?[31mred???\n");
	expect("[{\"k\":\"a\\tb\\rc\"}]", NULL, "k\na?b?c\n");
}

static void text_of_many_lines_stays_as_it_is(void **state)
{
	(void)state;
	expect("{\"file\":\"f\",\"text\":\"a: 1\\n  b: 2\\n\"}", NULL, "file: f\n\ntext:\na: 1\n  b: 2\n");
}

static void letters_of_many_octets_count_once(void **state)
{
	(void)state;
	expect("[{\"k\":\"\\u00e4\\u00e4\",\"l\":1},{\"k\":\"abc\",\"l\":2}]", NULL,
		"k    l\n\xc3\xa4\xc3\xa4   1\nabc  2\n");
}

static void a_lone_scalar_is_a_line(void **state)
{
	(void)state;
	expect("\"done\"", NULL, "done\n");
	expect("-5", NULL, "-5\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_aligned_lines),
		cmocka_unit_test(an_array_of_objects_is_a_table_with_numbers_to_the_right),
		cmocka_unit_test(no_line_of_a_table_ends_with_spaces),
		cmocka_unit_test(rows_may_have_different_keys),
		cmocka_unit_test(what_is_nested_is_indented_and_outermost_sections_stand_apart),
		cmocka_unit_test(what_is_empty_is_called_none),
		cmocka_unit_test(only_the_members_to_be_shown_are_seen_in_their_order),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(text_of_many_lines_stays_as_it_is),
		cmocka_unit_test(letters_of_many_octets_count_once),
		cmocka_unit_test(a_lone_scalar_is_a_line),
	};
	return cmocka_run_group_tests_name("render", tests, NULL, NULL) ? 1 : 0;
}

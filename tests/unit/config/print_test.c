// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/config.h>

static struct config *read_text(const char *text, size_t bytes)
{
	struct report report = { .emit = report_to_stream };
	struct config *config;
	enum status status = config_read_text(&config, text, bytes, "/etc/pollux/t.conf", &report);
	if (status != ST_OK)
		print_error("refused:\n%.*s\n", (int)bytes, text);
	assert_int_equal(status, ST_OK);
	return config;
}

static struct config *read_string(const char *text)
{
	return read_text(text, strlen(text));
}

static void count_difference(void *ctx, const char *key, enum config_effect effect)
{
	(void)effect;
	print_error("differs: %s\n", key);
	++*(unsigned *)ctx;
}

static void expect_round_trip(const char *text)
{
	struct config *config = read_string(text);
	char *printed = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&printed, &bytes);
	assert_non_null(to);
	config_print(config, to);
	assert_int_equal(fclose(to), 0);
	assert_true(bytes > 0 && printed[bytes - 1] == '\n' && printed[bytes - 2] != '\n');
	struct config *again = read_text(printed, bytes);
	unsigned differences = 0;
	config_differences(config, again, count_difference, &differences);
	if (differences)
		print_error("%s", printed);
	assert_int_equal(differences, 0);
	free(printed);
	config_free(config);
	config_free(again);
}

static void what_was_printed_reads_back_to_the_same(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"name: 'null'\n",
		"name: 'true'\nruntime-dir: ' /a b'\ncontrol-socket: '#x: [y]'\nzone-list: \"- \\\"'\"\n",
		"runtime-dir: \"/\xc3\xa4\xe2\x82\xac\"\nshared-memory: '~'\n",
		"dataplane: {lcores: [7, 1-3], main-lcore: 1, mbufs: 4194304, hugepages: off, idle-sleep: "
		"1500us, "
		"service-port: 5300}\n",
		"dataplane: {idle-sleep: 0, hugepages: on}\n",
		"ports:\n- {device: '0000:01:00.0', addresses: [198.18.0.53/24, '2001:db8::53/64'], "
		"gateways: [198.18.0.1, "
		"'fe80::1']}\n- {device: 'net_pcap0,rx_pcap=a,infinite_rx=1', addresses: 198.18.1.53/31, "
		"mtu: 1400}\n",
		"zones:\n- {name: ., file: root}\n- {name: 'A\\.b\\\\\\000\\\"x.example', file: ': a'}\n- "
		"{name: "
		"'*.[x].example', file: /a}\n",
		"forward: {servers: [198.18.0.1, 198.18.0.1@54, '2001:db8::1', '[2001:db8::1]:5300'], via: "
		"management, "
		"timeout: 1999ms, deadline: 1m, max-open: 1}\n",
		"answers: {udp-size: 512, any-udp: full}\ntcp: {idle-timeout: 1h, max-pipelined: 65535}\n",
		"log: {level: error, target: syslog}\n",
		"overrides:\n- {name: 'ws<N:3>.', type: A, answer: ['10.0.0.<N>', 192.0.2.1], ttl: 5m}\n"
		"- {name: '*', answer: \"nxdomain\"}\n- {name: t, type: TXT, answer: '\"a; b\" c'}\n"
		"overrides-file: rules\noverride-before: clients\n",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_round_trip(texts[i]);
}

static void every_option_accepts_its_own_default_and_nothing_beyond_its_range(void **state)
{
	(void)state;
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_info *info = &option_info[i];
		const char *dot = strchr(info->key, '.');
		char text[512];
		if (info->default_text[0] == '(' || strstr(info->key, "[]"))
			continue;
		int section = dot ? (int)(dot - info->key) : 0;
		const char *format = dot ? "%.*s: {%s: '%s'}\n" : "%.*s%s: '%s'\n";
		snprintf(text, sizeof(text), format, section, info->key, dot ? dot + 1 : info->key,
			info->default_text);
		struct config *with = read_string(text), *without = read_string("");
		unsigned differences = 0;
		config_differences(with, without, count_difference, &differences);
		assert_int_equal(differences, 0);
		config_free(with);
		config_free(without);
		if (strcmp(info->kind, "number") != 0 || info->min == 0)
			continue;
		const int64_t outside[] = { info->min - 1, info->max + 1 };
		for (unsigned j = 0; j < 2; j++) {
			char value[32];
			struct report quiet = { 0 };
			struct config *none;
			snprintf(value, sizeof(value), "%lld", (long long)outside[j]);
			snprintf(text, sizeof(text), format, section, info->key, dot ? dot + 1 : info->key,
				value);
			assert_int_not_equal(config_read_text(&none, text, strlen(text), "t", &quiet), ST_OK);
			assert_int_equal(quiet.errors, 1);
		}
	}
}

static void every_option_has_help_a_default_and_a_key_of_its_own(void **state)
{
	(void)state;
	assert_true(option_count >= 25);
	for (unsigned i = 0; i < option_count; i++) {
		const struct option_info *info = &option_info[i];
		assert_true(strlen(info->help) > 40);
		assert_int_equal(info->help[strlen(info->help) - 1], '.');
		assert_true(strlen(info->default_text) > 0);
		assert_true(info->min <= info->max);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(info->key, option_info[j].key);
		for (const char *c = info->key; *c; c++)
			assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz-.[]", *c));
	}
}

struct visited {
	char keys[512];
};

static void remember_key(void *ctx, const char *key)
{
	struct visited *visited = ctx;
	size_t bytes = strlen(visited->keys);
	snprintf(visited->keys + bytes, sizeof(visited->keys) - bytes, "%s ", key);
}

static void only_what_a_reload_cannot_change_needs_a_restart(void **state)
{
	(void)state;
	static const struct {
		const char *fresh, *keys;
	} cases[] = {
		{ "ports: [{device: a, addresses: 198.18.0.53/24}]\ntcp: {max-clients: 9}\n", "" },
		{ "ports: [{device: a, addresses: 198.18.0.53/24}]\nlog: {level: debug}\nzone-list: "
		  "x\nzones: [{name: a, "
		  "file: b}]\nforward: {servers: 198.18.0.1}\nanswers: {udp-size: 512}\n",
			"" },
		{ "ports: [{device: b, addresses: 198.18.0.53/24}]\n", "ports[0].device " },
		{ "ports: [{device: a, addresses: 198.18.0.54/24, mtu: 1400}]\n",
			"ports[0].addresses ports[0].mtu " },
		{ "", "ports " },
		{ "ports: [{device: a, addresses: 198.18.0.53/24}]\nname: x\ndataplane: {lcores: [2], "
		  "idle-sleep: 0}\n",
			"name runtime-dir state-dir control-socket dataplane.lcores dataplane.idle-sleep " },
		{ "ports: [{device: a, addresses: 198.18.0.53/24}]\nlog: {target: syslog}\nforward: {via: "
		  "management}\n",
			"log.target " },
	};
	struct config *running = read_string("ports: [{device: a, addresses: 198.18.0.53/24}]\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config *fresh = read_string(cases[i].fresh);
		struct visited visited = { "" };
		config_needs_restart(running, fresh, remember_key, &visited);
		assert_string_equal(visited.keys, cases[i].keys);
		config_free(fresh);
	}
	config_free(running);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_printed_reads_back_to_the_same),
		cmocka_unit_test(every_option_accepts_its_own_default_and_nothing_beyond_its_range),
		cmocka_unit_test(every_option_has_help_a_default_and_a_key_of_its_own),
		cmocka_unit_test(only_what_a_reload_cannot_change_needs_a_restart),
	};
	return cmocka_run_group_tests_name("print", tests, NULL, NULL) ? 1 : 0;
}

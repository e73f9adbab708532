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
#include <pollux/overrides.h>

// What a report said, one "line:column: severity: text" per line.
struct said {
	char text[16384];
	size_t bytes;
};

static void remember(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct said *said = ctx;
	assert_string_equal(file, "/etc/pollux/t.conf");
	said->bytes += (size_t)snprintf(said->text + said->bytes, sizeof(said->text) - said->bytes,
		"%u:%u: %s: %s\n", line, column, severity == SEVERITY_ERROR ? "error" : "warning", text);
	assert_true(said->bytes < sizeof(said->text));
}

static struct config *read_text(const char *text, struct said *said)
{
	*said = (struct said){ .bytes = 0 };
	struct report report = { .emit = remember, .ctx = said };
	struct config *config;
	enum status status = config_read_text(&config, text, strlen(text), "/etc/pollux/t.conf", &report);
	assert_int_equal(status == ST_OK, config != NULL);
	assert_int_equal(status == ST_OK, report.errors == 0);
	return config;
}

#define PORT "ports: [{device: d, addresses: [198.18.0.53/24, '2001:db8::53/64']}]\n"

static struct config *read_good(const char *text)
{
	struct said said;
	struct config *config = read_text(text, &said);
	if (!config)
		print_error("%s", said.text);
	assert_non_null(config);
	return config;
}

// The text is refused, and this is one of the messages.
static void expect_error(const char *text, const char *message)
{
	struct said said;
	char line[1024];
	struct config *config = read_text(text, &said);
	assert_null(config);
	snprintf(line, sizeof(line), "\n%s\n", message);
	char all[sizeof(said.text) + 2];
	snprintf(all, sizeof(all), "\n%s", said.text);
	if (!strstr(all, line))
		print_error("for:\n%s\nexpected: %s\nsaid:\n%s", text, message, said.text);
	assert_non_null(strstr(all, line));
}

static void an_empty_file_gives_every_default(void **state)
{
	(void)state;
	struct config *config = read_good("");
	assert_string_equal(config->name, "pollux");
	assert_string_equal(config->runtime_dir, "/run/pollux");
	assert_string_equal(config->control_socket, "/run/pollux/control.sock");
	assert_string_equal(config->shared_memory, "auto");
	assert_int_equal(config->lcore_count, 1);
	assert_int_equal(config->lcores[0], 1);
	assert_int_equal(config->main_lcore, 0);
	assert_int_equal(config->mbufs, 16384);
	assert_string_equal(config->hugepages, "auto");
	assert_int_equal(config->idle_sleep_us, 100);
	assert_int_equal(config->idle_after_us, 10000);
	assert_int_equal(config->service_port, 53);
	assert_int_equal(config->port_count, 0);
	assert_int_equal(config->zone_count, 0);
	assert_null(config->zone_list);
	assert_int_equal(config->forward.server_count, 0);
	assert_string_equal(config->forward_via, "ports");
	assert_int_equal(config->forward_timeout_count, 1);
	assert_int_equal(config->forward_timeouts_ms[0], 400);
	assert_int_equal(config->forward_deadline_ms, 2000);
	assert_int_equal(config->forward_max_open, 65536);
	assert_int_equal(config->udp_size, 1232);
	assert_false(config->any_full);
	assert_false(config->minimal);
	assert_null(config->nsid);
	assert_null(config->identity_id);
	assert_null(config->identity_version);
	assert_int_equal(config->cookie_mode, COOKIES_ON);
	assert_null(config->cookie_secret_file);
	assert_int_equal(config->tcp_max_clients, 1024);
	assert_int_equal(config->tcp_max_per_client, 32);
	assert_int_equal(config->tcp_idle_ms, 10000);
	assert_int_equal(config->tcp_max_pipelined, 128);
	assert_int_equal(config->log_level, LOG_LEVEL_INFO);
	assert_int_equal(config->log_target, LOG_TO_STDERR);
	config_free(config);
}

static void every_option_of_a_full_file_is_taken(void **state)
{
	(void)state;
	struct config *config =
		read_good("name: left\n"
			  "dataplane:\n"
			  "  lcores: [1, 4-6]\n"
			  "  main-lcore: 1\n"
			  "  idle-sleep: 0\n"
			  "  hugepages: on\n"
			  "ports:\n"
			  "  - device: 0000:01:00.0\n"
			  "    addresses: [198.18.0.53/24, 2001:db8::53/64]\n"
			  "    gateways: 198.18.0.1\n"
			  "  - device: net_af_packet1,iface=x\n"
			  "    addresses: 198.19.0.53/24\n"
			  "    mtu: 1400\n"
			  "zones:\n"
			  "  - {name: Example.COM, file: zones/a b.zone}\n"
			  "zone-list: ../lists/all\n"
			  "forward:\n"
			  "  servers: ['198.18.0.1', 198.18.0.2@5300, '[2001:db8::1]:54', '2001:db8::2@55']\n"
			  "  via: management\n"
			  "answers: {udp-size: 1k, any-udp: full, minimal: true}\n"
			  "identity: {nsid: ams1, id: ams1.example.net, version: \"7 of 9\"}\n"
			  "cookies: {mode: strict, secret-file: cookies}\n"
			  "tcp: {idle-timeout: 1m}\n"
			  "log: {level: debug, target: syslog}\n");
	static const unsigned cores[] = { 1, 4, 5, 6 };
	assert_int_equal(config->lcore_count, 4);
	assert_memory_equal(config->lcores, cores, sizeof(cores));
	assert_string_equal(config->runtime_dir, "/run/pollux-left");
	assert_int_equal(config->idle_sleep_us, 0);
	assert_string_equal(config->hugepages, "on");
	assert_int_equal(config->port_count, 2);
	assert_string_equal(config->ports[0].device, "0000:01:00.0");
	assert_int_equal(config->ports[0].address_count, 2);
	assert_memory_equal(config->ports[0].addresses[0].bytes, "\xc6\x12\x00\x35", 4);
	assert_int_equal(config->ports[0].addresses[0].length, 24);
	assert_int_equal(config->ports[0].addresses[1].family, AF_INET6);
	assert_int_equal(config->ports[0].addresses[1].length, 64);
	assert_int_equal(config->ports[0].gateway_count, 1);
	assert_int_equal(config->ports[0].gateways[0].port, 0);
	assert_int_equal(config->ports[0].mtu, 1500);
	assert_int_equal(config->ports[1].mtu, 1400);
	assert_int_equal(config->zone_count, 1);
	assert_memory_equal(config->zones[0].apex, "\7example\3com", 13);
	assert_string_equal(config->zones[0].file, "/etc/pollux/zones/a b.zone");
	assert_int_equal(config->zones[0].line, 15);
	assert_string_equal(config->zone_list, "/etc/pollux/../lists/all");
	assert_int_equal(config->forward.server_count, 4);
	assert_int_equal(config->forward.servers[0].port, 53);
	assert_int_equal(config->forward.servers[1].port, 5300);
	assert_int_equal(config->forward.servers[2].port, 54);
	assert_int_equal(config->forward.servers[3].port, 55);
	assert_string_equal(config->forward_via, "management");
	assert_int_equal(config->udp_size, 1024);
	assert_true(config->any_full);
	assert_true(config->minimal);
	assert_string_equal(config->nsid, "ams1");
	assert_string_equal(config->identity_id, "ams1.example.net");
	assert_string_equal(config->identity_version, "7 of 9");
	assert_int_equal(config->cookie_mode, COOKIES_STRICT);
	assert_string_equal(config->cookie_secret_file, "/etc/pollux/cookies");
	assert_int_equal(config->tcp_idle_ms, 60000);
	assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(config->log_target, LOG_TO_SYSLOG);
	config_free(config);
}

static void each_kind_of_error_names_its_line_and_column(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "nmae: x\n", "1:1: error: unknown key 'nmae'; did you mean 'name'?" },
		{ "log:\n  levle: info\n", "2:3: error: unknown key 'levle'; did you mean 'level'?" },
		{ "dataplane: {main_lcore: 0}\n",
			"1:13: error: unknown key 'main_lcore'; did you mean 'main-lcore'?" },
		{ "lcores: [1]\n", "1:1: error: unknown key 'lcores'; it belongs into 'dataplane'" },
		{ "tcp: {zone-list: x}\n",
			"1:7: error: unknown key 'zone-list'; it belongs to the top of the file" },
		{ "xyzzyplugh: 1\n", "1:1: error: unknown key 'xyzzyplugh'" },
		{ "tcp: {xyzzyplugh: 1}\n", "1:7: error: unknown key 'xyzzyplugh' in 'tcp'" },
		{ "name: a\nname: b\n", "2:1: error: key 'name' a second time; the first is at line 1" },
		{ "name: [a]\n",
			"1:7: error: name: expected a name of letters, digits, - and _, found a list" },
		{ "name:\n", "1:6: error: name: expected a name of letters, digits, - and _, found nothing" },
		{ "name: ''\n", "1:7: error: name: '' must not be empty" },
		{ "name: a/b\n", "1:7: error: name: 'a/b' may only hold letters, digits, - and _: it becomes "
				 "part of file names" },
		{ "zone-list: \"a\\0b\"\n", "1:12: error: a NUL character cannot be part of a value" },
		{ "tcp: 5\n", "1:6: error: tcp: expected a map of keys, found '5'" },
		{ "ports: {device: x}\n", "1:8: error: ports: expected a list (lines that begin with '- '), "
					  "found a map of keys" },
		{ "ports: [x]\n", "1:9: error: ports[0]: expected a map of keys, found 'x'" },
		{ "ports:\n  - mtu: 1500\n", "2:5: error: ports[0] lacks its 'device'" },
		{ "ports:\n  - mtu: 1500\n", "2:5: error: ports[0] lacks its 'addresses'" },
		{ "ports: [{device: x, addresses: []}]\n",
			"1:32: error: ports[].addresses: must not be empty" },
		{ "dataplane: {lcores: []}\n", "1:21: error: dataplane.lcores: must not be empty" },
		{ "dataplane: {lcores: [1, 2, 1]}\n", "1:28: error: dataplane.lcores: '1' is listed twice" },
		{ "dataplane: {lcores: [3-2]}\n",
			"1:22: error: dataplane.lcores: '3-2' is not a range of cores" },
		{ "dataplane: {mbufs: many}\n",
			"1:20: error: dataplane.mbufs: expected a whole number, found 'many'" },
		{ "dataplane: {mbufs: -1}\n",
			"1:20: error: dataplane.mbufs: expected a whole number, found '-1'" },
		{ "dataplane: {mbufs: 7}\n",
			"1:20: error: dataplane.mbufs: '7' is out of range: 1024 to 4194304 buffers" },
		{ "dataplane: {mbufs: 99999999999999999999}\n",
			"1:20: error: dataplane.mbufs: '99999999999999999999' is out of range: 1024 to "
			"4194304 buffers" },
		{ "dataplane: {idle-sleep: 3}\n",
			"1:25: error: dataplane.idle-sleep: '3' lacks its unit: us, ms, s, m, h or d" },
		{ "dataplane: {idle-sleep: 1s}\n",
			"1:25: error: dataplane.idle-sleep: '1s' is out of range: 0 to 10ms" },
		{ "forward: {timeout: 1500us}\n",
			"1:20: error: forward.timeout: '1500us' is not a whole number of milliseconds" },
		{ "cache: {max-ttl: 1500ms}\n",
			"1:18: error: cache.max-ttl: '1500ms' is not a whole number of seconds" },
		{ "cache: {size: 1000}\n",
			"1:15: error: cache.size: '1000' is out of range: 1048576 to 68719476736 octets" },
		{ "cache: {size: much}\n", "1:15: error: cache.size: expected a size such as 64MiB, found 'much'" },
		{ "cache: {max-ttl: 8d}\n", "1:18: error: cache.max-ttl: '8d' is out of range: 1s to 7d" },
		{ "forward: {timeout: soon}\n", "1:20: error: forward.timeout: expected a duration such as "
						"400ms or 2s, found 'soon'" },
		{ "answers: {udp-size: 4096}\n",
			"1:21: error: answers.udp-size: '4096' is out of range: 512 to 1452 octets" },
		{ "answers: {any-udp: maybe}\n",
			"1:20: error: answers.any-udp: 'maybe' is not minimal or full" },
		{ "dataplane: {hugepages: 1}\n",
			"1:24: error: dataplane.hugepages: '1' is not auto, on or off" },
		{ "ports: [{device: d, addresses: 198.18.0.53}]\n",
			"1:32: error: ports[].addresses: '198.18.0.53' lacks the prefix length of its link, "
			"such as "
			"198.18.0.53/24" },
		{ "ports: [{device: d, addresses: 198.18.0.53/33}]\n",
			"1:32: error: ports[].addresses: '198.18.0.53/33' needs a prefix length of 0 to 32" },
		{ "ports: [{device: d, addresses: 198.18.0.256/24}]\n",
			"1:32: error: ports[].addresses: '198.18.0.256/24' is not an IP address" },
		{ "ports: [{device: d, addresses: '2001:db8::g/64'}]\n",
			"1:32: error: ports[].addresses: '2001:db8::g/64' is not an IPv6 address" },
		{ "ports: [{device: d, addresses: 224.0.0.1/24}]\n",
			"1:32: error: ports[].addresses: '224.0.0.1/24' cannot be a service address" },
		{ "chain: [cache, authorities, forwarders]\n",
			"1:16: error: chain: overrides, authorities and cache come first and in this order, as the "
			"dataplane asks them" },
		{ "chain: [cache, cache]\n", "1:16: error: chain: 'cache' is listed twice" },
		{ "forward: {servers: 198.18.0.1:53}\n", "1:20: error: forward.servers: '198.18.0.1:53' is "
							 "not an address: write the port of an IPv4 "
							 "address as 198.18.0.1@5300" },
		{ "forward: {servers: 198.18.0.1@0}\n",
			"1:20: error: forward.servers: '198.18.0.1@0' needs a port of 1 to 65535" },
		{ "forward: {servers: fe80::1%eth0}\n", "1:20: error: forward.servers: 'fe80::1%eth0' is an "
							"address with a zone (%), which means nothing "
							"here" },
		{ "forward: {servers: fe80::1}\n",
			"1:20: error: forward.servers: 'fe80::1' is link-local: it names nobody without an interface" },
		{ "zones: [{name: a..b, file: f}]\n",
			"1:16: error: zones[].name: expected a domain name, found 'a..b'" },
		{ "tcp: &x {max-clients: 5}\n",
			"1:6: error: anchors (&) are not allowed in a configuration" },
		{ "tcp: *x\n", "1:6: error: aliases (*) are not allowed in a configuration" },
		{ "name: !!str x\n", "1:7: error: tags (!) are not allowed in a configuration" },
		{ "name: x\n---\nname: y\n", "2:1: error: a second document: a configuration is one" },
		{ "[a]: b\n", "1:1: error: a key must be a word, not a list or a map" },
		{ "- a\n", "1:1: error: expected keys and values, found a list" },
		{ "log:\n\tlevel: info\n", "2:1: error: a tab cannot indent: use spaces" },
		{ "name: x\n  log: y\n", "2:6: error: mapping values are not allowed in this context" },
		{ "name: \"x\n",
			"2:1: error: found unexpected end of stream while scanning a quoted scalar, begun at "
			"line 1" },
		{ "name: a\nlog: \xff\n", "2:6: error: invalid leading UTF-8 octet" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_error(cases[i].text, cases[i].message);
}

static void options_that_contradict_each_other_are_refused_with_their_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ PORT "forward: {servers: 198.18.0.53}\n", "2:20: error: forward.servers: 198.18.0.53 is a "
							    "service address of this appliance: a loop" },
		{ PORT "forward: {servers: [198.18.0.1, 127.0.0.1]}\n",
			"2:33: error: forward.servers: 127.0.0.1 cannot be reached by way of the ports; set "
			"via: "
			"management" },
		{ "ports:\n- {device: d, addresses: 198.18.0.53/24}\n- {device: e, addresses: "
		  "198.18.0.53/16}\n",
			"3:26: error: ports[].addresses: 198.18.0.53/16 is an address of ports[0] already" },
		{ "ports:\n- {device: d, addresses: 198.18.0.53/24}\n- {device: d, addresses: "
		  "198.18.0.54/24}\n",
			"3:12: error: ports[].device: 'd' is the device of ports[0] already" },
		{ "ports: [{device: d, addresses: 198.18.0.53/24, gateways: 198.18.0.53}]\n",
			"1:58: error: ports[].gateways: 198.18.0.53 is a service address of this appliance" },
		{ "ports: [{device: d, addresses: '2001:db8::1/64', mtu: 1000}]\n",
			"1:32: error: ports[].addresses: IPv6 needs an mtu of 1280 at least (RFC 8200 5), "
			"not 1000" },
		{ "zones:\n- {name: a.b, file: x}\n- {name: c, file: x}\n- {name: A.b., file: y}\n",
			"4:10: error: zones[].name: 'a.b.' a second time; the first is at line 2" },
		{ "forward: {timeout: 3s}\n", "1:20: error: forward.timeout: one try (3000 ms) cannot be "
					      "longer than forward.deadline (2000 "
					      "ms)" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_error(cases[i].text, cases[i].message);
}

static void rules_are_read_with_the_rest_and_their_errors_have_a_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{ "overrides: [{answer: drop}]\n", "1:13: error: overrides[0] lacks its 'name'" },
		{ "overrides: [{name: a}]\n", "1:13: error: overrides[0] lacks its 'answer'" },
		{ "overrides:\n  - {name: a, type: A, answer: 192.0.2.300}\n",
			"2:32: error: A: expected an IPv4 address, found \"192.0.2.300\"" },
		{ "overrides:\n  - name: a\n    type: A\n    answer: [192.0.2.1, 192.0.2.x]\n",
			"4:25: error: A: expected an IPv4 address, found \"192.0.2.x\"" },
		{ "overrides:\n  - {name: 'x<N>', type: A, answer: '192.0.2.<M>'}\n",
			"2:38: error: A: there is no <M> in the name" },
		{ "overrides:\n  - {name: a, type: Q, answer: drop}\n", "2:21: error: 'Q' is no RR type" },
		{ "overrides:\n  - {name: a, ttl: 5x, answer: drop}\n",
			"2:20: error: overrides[].ttl: expected a TTL such as 300 or 1h, found '5x'" },
		{ "overrides:\n  - {name: a, answer: drop}\n  - {name: a, answer: pass}\n",
			"3:12: error: another answer for this name and type; the first is at /etc/pollux/t.conf:2" },
		{ "override-before: cache\n", "1:18: error: override-before: 'cache' is not zones or clients" },
	};
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		expect_error(wrong[i].text, wrong[i].message);
	struct config *config = read_good("overrides:\n  - {name: 'ws<N>', type: A, answer: '10.0.0.<N>', ttl: 1h}\n"
					  "  - {name: b, type: TXT, answer: [one, two]}\noverride-before: clients\n");
	struct override_rules *rules;
	struct report report = { .emit = NULL };
	struct override_info info;
	assert_int_equal(config_overrides(config, &rules, &report), ST_OK);
	assert_int_equal(override_rules_count(rules), 2);
	override_rules_info(rules, 0, &info);
	assert_string_equal(info.name, "ws<N>");
	assert_string_equal(info.answer, "10.0.0.<N>");
	assert_int_equal(info.ttl_s, 3600);
	assert_int_equal(info.line, 2);
	override_rules_info(rules, 1, &info);
	assert_string_equal(info.answer, "one, two");
	assert_int_equal(info.ttl_s, 60);
	assert_true(config->override_before_clients);
	override_rules_free(rules);
	config_free(config);
}

static void a_missing_overrides_file_is_named_and_leaves_the_other_rules(void **state)
{
	(void)state;
	struct said said = { .bytes = 0 };
	struct report report = { .emit = NULL, .ctx = &said };
	struct config *config = read_good("overrides: [{name: a, answer: drop}]\noverrides-file: /nonexistent/rules\n");
	struct override_rules *rules;
	assert_int_equal(config_overrides(config, &rules, &report), ST_NOT_FOUND);
	assert_int_equal(report.errors, 1);
	assert_int_equal(override_rules_count(rules), 1);
	override_rules_free(rules);
	config_free(config);
}

static void all_errors_of_a_file_come_in_one_pass(void **state)
{
	(void)state;
	struct said said;
	struct config *config = read_text("nam: x\n"
					  "log: {level: loud}\n"
					  "ports:\n"
					  "  - {device: d, addresses: [198.18.0.53, 198.18.0.54/24]}\n"
					  "zones:\n"
					  "  - name: a..b\n"
					  "tcp: {max-clients: 0}\n"
					  "forward: {servers: 198.18.0.54}\n",
		&said);
	assert_null(config);
	unsigned lines = 0;
	for (const char *c = said.text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 7);
}

static void a_file_full_of_errors_ends_after_a_hundred_and_says_so(void **state)
{
	(void)state;
	struct said said;
	char text[2048];
	size_t at = 0;
	for (unsigned i = 0; i < 200; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "k%u: 1\n", i);
	assert_null(read_text(text, &said));
	assert_non_null(strstr(
		said.text, "\n100:1: error: unknown key 'k99'\n0:0: warning: gave up after 100 errors\n"));
	assert_null(strstr(said.text, "101:1:"));
}

static void files_of_other_systems_are_read(void **state)
{
	(void)state;
	struct config *config = read_good("\xef\xbb\xbfname: x\r\nlog:\r\n  level: debug\r\n");
	assert_string_equal(config->name, "x");
	assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
	config_free(config);
}

static void messages_hold_no_control_characters_and_no_half_letters(void **state)
{
	(void)state;
	expect_error("name: \"a\\eb\\nc\"\n",
		"1:7: error: name: 'a?b?c' may only hold letters, digits, - and _: it "
		"becomes part of file names");
	expect_error("dataplane: {mbufs: "
		     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa4\xc3\xa4}\n",
		"1:20: error: dataplane.mbufs: expected a whole number, found "
		"'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'");
}

static void a_worker_may_share_the_core_of_housekeeping(void **state)
{
	(void)state;
	config_free(read_good("dataplane: {lcores: [0], main-lcore: 0}\n"));
}

static void what_may_be_intended_is_only_a_warning(void **state)
{
	(void)state;
	struct said said;
	struct config *config = read_text(
		"ports: [{device: d, addresses: 198.18.0.53/24, gateways: 198.19.0.1}]\nzone-list: l\n",
		&said);
	assert_non_null(config);
	assert_string_equal(
		said.text, "1:58: warning: ports[].gateways: 198.19.0.1 is on no link of this port\n");
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_gives_every_default),
		cmocka_unit_test(every_option_of_a_full_file_is_taken),
		cmocka_unit_test(each_kind_of_error_names_its_line_and_column),
		cmocka_unit_test(options_that_contradict_each_other_are_refused_with_their_place),
		cmocka_unit_test(rules_are_read_with_the_rest_and_their_errors_have_a_place),
		cmocka_unit_test(a_missing_overrides_file_is_named_and_leaves_the_other_rules),
		cmocka_unit_test(all_errors_of_a_file_come_in_one_pass),
		cmocka_unit_test(a_file_full_of_errors_ends_after_a_hundred_and_says_so),
		cmocka_unit_test(files_of_other_systems_are_read),
		cmocka_unit_test(messages_hold_no_control_characters_and_no_half_letters),
		cmocka_unit_test(a_worker_may_share_the_core_of_housekeeping),
		cmocka_unit_test(what_may_be_intended_is_only_a_warning),
	};
	return cmocka_run_group_tests_name("read", tests, NULL, NULL) ? 1 : 0;
}

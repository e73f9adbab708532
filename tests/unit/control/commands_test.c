// SPDX-License-Identifier: BSD-3-Clause
// The control socket and its commands, on a whole control without ports.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <pollux/ctl.h>
#include <pollux/log.h>

#include "commands.h"
#include "ctl_server.h"
#include "fake_dataplane.h"

struct world {
	char directory[64], config_path[128], zone_path[128];
	struct event_base *base;
	struct control control;
};

static void write_text(const char *path, const char *text)
{
	char fresh[160];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *file = fopen(fresh, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(fresh, path), 0);
}

static void write_config(const struct world *w, const char *more)
{
	char text[1024];
	snprintf(text, sizeof(text),
		"name: t%d\nruntime-dir: %s\nstate-dir: %s\nshared-memory: %s\nzones:\n- name: one.example\n  file: one.zone\n%s",
		(int)getpid(), w->directory, w->directory, w->directory, more);
	write_text(w->config_path, text);
}

static void write_zone(const struct world *w, unsigned serial)
{
	char text[256];
	snprintf(text, sizeof(text), "$TTL 60\n@ SOA ns mail %u 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", serial);
	write_text(w->zone_path, text);
}

static int setup(void **state)
{
	signal(SIGPIPE, SIG_IGN); // as main() does
	log_set_level(LOG_LEVEL_ERROR);
	struct world *w = calloc(1, sizeof(*w));
	struct config *config;
	struct report report = { 0 };
	snprintf(w->directory, sizeof(w->directory), "/tmp/commands_test.XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	snprintf(w->config_path, sizeof(w->config_path), "%s/pollux.conf", w->directory);
	snprintf(w->zone_path, sizeof(w->zone_path), "%s/one.zone", w->directory);
	write_config(w, "");
	write_zone(w, 1);
	w->base = event_base_new();
	if (config_read(&config, w->config_path, &report) != ST_OK ||
		control_start(&w->control, w->base, config) != ST_OK)
		return -1;
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	(void)info;
	(void)kind;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;
	control_stop(&w->control);
	event_base_free(w->base);
	nftw(w->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

// --- a client ---

struct client {
	int fd;
	char *text;
	size_t bytes;
	bool ended;
};

static struct client connect_client(struct world *w)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(ctl_server_adopt(w->control.ctl, pair[1]), ST_OK);
	return (struct client){ .fd = pair[0] };
}

static void close_client(struct client *client)
{
	close(client->fd);
	free(client->text);
}

static void say(struct client *client, const char *text)
{
	assert_int_equal(send(client->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static char *whole_line(const struct client *client)
{
	return client->bytes ? memchr(client->text, '\n', client->bytes) : NULL;
}

static bool take(struct client *client)
{
	char part[65536];
	ssize_t got = recv(client->fd, part, sizeof(part), MSG_DONTWAIT);
	if (got > 0) {
		client->text = realloc(client->text, client->bytes + (size_t)got);
		memcpy(client->text + client->bytes, part, (size_t)got);
		client->bytes += (size_t)got;
	} else if (got == 0 || errno != EAGAIN) {
		client->ended = true;
	}
	return client->ended || whole_line(client);
}

// The next reply; the caller's.
static json_t *hear(struct world *w, struct client *client)
{
	if (!whole_line(client))
		AWAIT(w->base, take(client));
	char *end = whole_line(client);
	assert_non_null(end);
	json_t *reply = json_loadb(client->text, (size_t)(end - client->text), 0, NULL);
	client->bytes -= (size_t)(end + 1 - client->text);
	memmove(client->text, end + 1, client->bytes);
	assert_non_null(reply);
	assert_int_equal(json_integer_value(json_object_get(reply, "v")), CTL_VERSION);
	return reply;
}

static json_t *ask(struct world *w, const char *command)
{
	struct client client = connect_client(w);
	char line[512];
	snprintf(line, sizeof(line), "{\"v\":1,\"command\":\"%s\"}\n", command);
	say(&client, line);
	json_t *reply = hear(w, &client);
	close_client(&client);
	return reply;
}

static bool is_ok(const json_t *reply)
{
	return json_is_true(json_object_get(reply, "ok"));
}

static const char *error_of(const json_t *reply)
{
	assert_true(json_is_false(json_object_get(reply, "ok")));
	return json_string_value(json_object_get(reply, "error"));
}

static json_t *data_of(const json_t *reply)
{
	assert_true(is_ok(reply));
	return json_object_get(reply, "data");
}

static json_int_t number(const json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

static void await_zones(struct world *w)
{
	AWAIT(w->base, catalog_is_ready(w->control.catalog));
}

// --- sentences ---

static void help_tells_every_command(void **state)
{
	struct world *w = *state;
	json_t *reply = ask(w, "help");
	json_t *list = data_of(reply);
	assert_int_equal(json_array_size(list), command_count);
	for (size_t i = 0; i < command_count; i++) {
		const json_t *row = json_array_get(list, i);
		assert_string_equal(json_string_value(json_object_get(row, "command")), commands[i].words);
		assert_true(json_string_length(json_object_get(row, "help")) > 0);
	}
	json_decref(reply);
	reply = ask(w, "help zone");
	assert_int_equal(json_array_size(data_of(reply)), 5);
	json_decref(reply);
}

static void status_counts_zones(void **state)
{
	struct world *w = *state;
	await_zones(w);
	json_t *reply = ask(w, "status"), *data = data_of(reply);
	assert_string_equal(json_string_value(json_object_get(data, "version")), POLLUX_VERSION);
	assert_int_equal(number(data, "pid"), getpid());
	assert_int_equal(number(json_object_get(data, "zones"), "loaded"), 1);
	assert_true(json_is_false(json_object_get(json_object_get(data, "dataplane"), "alive")));
	json_decref(reply);
}

static void stats_add_up_over_workers_and_classes(void **state)
{
	struct world *w = *state;
	struct fake_dataplane plane;
	plane_start(&plane, w->control.directory, 2);
	for (unsigned i = 0; i < 2; i++) {
		struct worker_stats *worker = &plane.stats->worker[i];
		worker->counter[COUNTER_rx] = 100;
		worker->counter[COUNTER_answer_dns] = 70;
		worker->counter[COUNTER_miss] = 20;
		worker->counter[COUNTER_drop_arp] = 10;
		worker->latency[10] = 99;
		worker->latency[20] = 1;
	}
	AWAIT(w->base, side_door_is_attached(w->control.door));
	json_t *reply = ask(w, "stats"), *data = data_of(reply);
	assert_true(json_is_true(json_object_get(data, "balanced")));
	const json_t *received = json_array_get(json_object_get(data, "sums"), 0);
	assert_int_equal(number(received, "total"), 200);
	assert_int_equal(number(received, "worker_1"), 100);
	assert_int_equal(json_array_size(json_object_get(data, "counters")), COUNTER_COUNT);
	const json_t *workers = json_object_get(data, "workers");
	assert_int_equal(json_array_size(workers), 2);
	assert_int_equal(number(json_object_get(json_array_get(workers, 1), "counters"), "answer-dns"), 70);
	const json_t *latency = json_array_get(json_object_get(data, "latency"), 2);
	assert_in_range(number(latency, "p50_ns"), 1024, 2047);
	assert_in_range(number(latency, "p99_ns"), 1024, 2048);
	assert_in_range(number(latency, "p999_ns"), 1 << 20, 1 << 21);
	json_decref(reply);
	plane.stats->worker[1].counter[COUNTER_rx]++;
	reply = ask(w, "stats");
	assert_true(json_is_false(json_object_get(data_of(reply), "balanced")));
	json_decref(reply);
	plane_stop(&plane);
}

static void a_reload_answers_when_it_is_done_and_names_the_line(void **state)
{
	struct world *w = *state;
	await_zones(w);
	write_zone(w, 5);
	json_t *reply = ask(w, "zone reload one.example");
	assert_int_equal(number(data_of(reply), "serial"), 5);
	json_decref(reply);
	write_text(w->zone_path, "$TTL 60\n@ SOA ns mail 6 2 3 4 5\n@ NS ns\nns A 192.0.2.777\n");
	reply = ask(w, "zone reload one.example");
	assert_non_null(strstr(error_of(reply), "its former content is still served"));
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(reply, "details"), 0)),
		"one.zone:4:6: error: "));
	json_decref(reply);
	reply = ask(w, "zone status one.example");
	assert_int_equal(number(data_of(reply), "serial"), 5);
	assert_int_equal(number(data_of(reply), "errors"), 1);
	json_decref(reply);
	reply = ask(w, "zone list failed");
	assert_int_equal(json_array_size(data_of(reply)), 1);
	json_decref(reply);
}

static void a_zone_is_added_shown_and_removed(void **state)
{
	struct world *w = *state;
	char command[512];
	await_zones(w);
	snprintf(command, sizeof(command), "zone add more.example %s", w->zone_path);
	json_t *reply = ask(w, command);
	assert_true(is_ok(reply));
	assert_true(json_is_true(json_object_get(data_of(reply), "added")));
	json_decref(reply);
	reply = ask(w, command);
	assert_non_null(strstr(error_of(reply), "there is a zone more.example"));
	json_decref(reply);
	reply = ask(w, "zone list m*.example");
	assert_int_equal(json_array_size(data_of(reply)), 1);
	json_decref(reply);
	reply = ask(w, "zone list after more.example");
	assert_int_equal(json_array_size(data_of(reply)), 1); // one.example
	json_decref(reply);
	reply = ask(w, "zone add relative.example one.zone");
	assert_non_null(strstr(error_of(reply), "the whole path"));
	json_decref(reply);
	reply = ask(w, "zone remove one.example");
	assert_non_null(strstr(error_of(reply), "take it out there"));
	json_decref(reply);
	reply = ask(w, "zone remove more.example");
	assert_true(is_ok(reply));
	json_decref(reply);
	reply = ask(w, "zone status more.example");
	assert_false(is_ok(reply));
	json_decref(reply);
}

static void a_config_reload_takes_over_zones_and_names_what_needs_a_restart(void **state)
{
	struct world *w = *state;
	await_zones(w);
	write_config(w, "- name: two.example\n  file: one.zone\ndataplane:\n  service-port: 5353\nanswers:\n  udp-size: 1400\n");
	json_t *reply = ask(w, "config reload");
	const json_t *restart = json_object_get(data_of(reply), "needs_restart");
	assert_int_equal(json_array_size(restart), 1);
	assert_string_equal(json_string_value(json_array_get(restart, 0)), "dataplane.service-port");
	json_decref(reply);
	assert_int_equal(catalog_policy(w->control.catalog).udp_size, 1400);
	reply = ask(w, "zone status two.example");
	assert_true(is_ok(reply));
	json_decref(reply);
	write_config(w, "answers:\n  udp-size: 99\n");
	reply = ask(w, "config reload");
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(reply, "details"), 0)),
		"pollux.conf:9:13: error: "));
	json_decref(reply);
	assert_int_equal(catalog_policy(w->control.catalog).udp_size, 1400);
	assert_int_equal(publisher_counts(w->control.publisher).zones, 2);
}

static void a_config_check_changes_nothing(void **state)
{
	struct world *w = *state;
	await_zones(w);
	json_t *reply = ask(w, "config check");
	assert_int_equal(number(data_of(reply), "zones"), 1);
	json_decref(reply);
	write_config(w, "zone: twice\nanswers: 7\n");
	reply = ask(w, "config check");
	assert_true(json_array_size(json_object_get(reply, "details")) >= 2);
	json_decref(reply);
	reply = ask(w, "config check /dev/zero");
	assert_non_null(strstr(error_of(reply), "not a regular file"));
	json_decref(reply);
	reply = ask(w, "config check relative.conf");
	assert_non_null(json_object_get(reply, "usage"));
	json_decref(reply);
}

static void the_log_level_is_shown_and_set(void **state)
{
	struct world *w = *state;
	json_t *reply = ask(w, "log level error");
	assert_string_equal(json_string_value(json_object_get(data_of(reply), "level")), "error");
	json_decref(reply);
	assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
	reply = ask(w, "log level loud");
	assert_non_null(json_object_get(reply, "usage"));
	json_decref(reply);
}

static void stop_replies_and_ends_the_loop(void **state)
{
	struct world *w = *state;
	json_t *reply = ask(w, "stop");
	assert_true(is_ok(reply));
	json_decref(reply);
	assert_int_equal(event_base_dispatch(w->base), 0);
	assert_true(event_base_got_exit(w->base));
}

static void wrong_words_are_told_with_the_usage(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *command, *usage;
	} cases[] = {
		{ "bogus", "help" },
		{ "zone status", "zone status NAME" },
		{ "zone status a b", "zone status NAME" },
		{ "status now", "status" },
		{ "zone", "zone list [failed|loaded|loading] [PATTERN] [after NAME]" },
		{ "", "help" },
		{ "   ", "help" },
		{ "zone list failed loaded one..two", "zone list [failed|loaded|loading] [PATTERN] [after NAME]" },
		{ "zone status ..", "zone status NAME" },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *reply = ask(w, cases[i].command);
		assert_non_null(error_of(reply));
		assert_string_equal(json_string_value(json_array_get(json_object_get(reply, "usage"), 0)), cases[i].usage);
		json_decref(reply);
	}
}

static void rubbish_gets_an_error_and_the_connection_goes_on(void **state)
{
	struct world *w = *state;
	struct client client = connect_client(w);
	static const char *const rubbish[] = {
		"\n", "{\n", "null\n", "[]\n", "{}\n", "{\"command\":7}\n", "{\"command\":\"help\",\"args\":\"x\"}\n",
		"{\"command\":\"help\",\"args\":[1]}\n", "{\"v\":2,\"command\":\"help\"}\n", "\xff\xfe\n",
		"{\"command\":\"a\",\"command\":\"b\"}\n", "{\"command\":\"\\u0000\"}\n",
		"{\"command\":\"a b c d e f g h i j k l m n o p q r s t u v\"}\n", "GET / HTTP/1.1\n",
	};
	for (unsigned i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		say(&client, rubbish[i]);
		json_t *reply = hear(w, &client);
		assert_true(strlen(error_of(reply)) > 0);
		json_decref(reply);
	}
	say(&client, "{\"command\":\"log level\"}\n");
	json_t *reply = hear(w, &client);
	assert_true(is_ok(reply));
	json_decref(reply);
	close_client(&client);
}

static void deep_nesting_is_refused(void **state)
{
	struct world *w = *state;
	struct client client = connect_client(w);
	char deep[60002];
	memset(deep, '[', 60000);
	strlcpy(deep + 60000, "\n", 2);
	say(&client, deep);
	json_t *reply = hear(w, &client);
	assert_non_null(strstr(error_of(reply), "not a JSON request"));
	json_decref(reply);
	close_client(&client);
}

static void a_line_too_long_ends_the_connection(void **state)
{
	struct world *w = *state;
	struct client client = connect_client(w);
	char part[4096];
	memset(part, 'x', sizeof(part));
	for (unsigned sent = 0; sent <= CTL_MAX_REQUEST_BYTES; sent += sizeof(part)) {
		assert_int_equal(send(client.fd, part, sizeof(part), MSG_NOSIGNAL), sizeof(part));
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	json_t *reply = hear(w, &client);
	assert_non_null(strstr(error_of(reply), "longer than"));
	json_decref(reply);
	AWAIT(w->base, (take(&client), client.ended));
	AWAIT(w->base, ctl_server_clients(w->control.ctl) == 0);
	close_client(&client);
}

static void requests_may_come_octet_by_octet_or_many_at_once(void **state)
{
	struct world *w = *state;
	struct client client = connect_client(w);
	const char *line = "{\"command\":\"log\",\"args\":[\"level\"]}\n";
	for (const char *c = line; *c; c++) {
		assert_int_equal(send(client.fd, c, 1, MSG_NOSIGNAL), 1);
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	json_t *reply = hear(w, &client);
	assert_true(is_ok(reply));
	json_decref(reply);
	say(&client, "{\"command\":\"help\"}\n{\"command\":\"nosuch\"}\n{\"command\":\"status\"}\n");
	static const bool expected[] = { true, false, true };
	for (unsigned i = 0; i < 3; i++) {
		reply = hear(w, &client);
		assert_int_equal(is_ok(reply), expected[i]);
		json_decref(reply);
	}
	close_client(&client);
}

static void a_client_that_closes_its_side_still_gets_its_replies(void **state)
{
	struct world *w = *state;
	await_zones(w);
	struct client client = connect_client(w);
	write_zone(w, 2);
	say(&client, "{\"command\":\"zone reload one.example\"}\n{\"command\":\"help\"}\n");
	shutdown(client.fd, SHUT_WR);
	for (unsigned i = 0; i < 2; i++) {
		json_t *reply = hear(w, &client);
		assert_true(is_ok(reply));
		json_decref(reply);
	}
	AWAIT(w->base, (take(&client), client.ended));
	AWAIT(w->base, ctl_server_clients(w->control.ctl) == 0);
	close_client(&client);
}

static void a_client_that_leaves_during_its_command_hurts_nobody(void **state)
{
	struct world *w = *state;
	await_zones(w);
	for (unsigned i = 0; i < 20; i++) {
		struct client client = connect_client(w);
		write_zone(w, i + 2);
		say(&client, "{\"command\":\"zone reload one.example\"}\n");
		for (unsigned turn = 0; turn < i % 4; turn++)
			event_base_loop(w->base, EVLOOP_NONBLOCK);
		close_client(&client);
	}
	AWAIT(w->base, ctl_server_clients(w->control.ctl) == 0);
	AWAIT(w->base, publisher_counts(w->control.publisher).busy == 0);
}

static void a_client_that_never_reads_holds_up_nobody_else(void **state)
{
	struct world *w = *state;
	struct client greedy = connect_client(w);
	const char *line = "{\"command\":\"stats\"}\n";
	unsigned sent = 0;
	for (unsigned quiet = 0; quiet < 50 && sent < 1000000;) {
		ssize_t bytes = send(greedy.fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
		quiet = bytes < 0 ? quiet + 1 : 0;
		sent += bytes > 0;
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	assert_true(sent < 1000000); // at some point it is no longer listened to
	json_t *reply = ask(w, "log level");
	assert_true(is_ok(reply));
	json_decref(reply);
	close_client(&greedy);
	AWAIT(w->base, ctl_server_clients(w->control.ctl) == 0);
}

static void clients_beyond_the_limit_are_told_so(void **state)
{
	struct world *w = *state;
	struct client client[100];
	unsigned count = 0;
	int pair[2];
	enum status status = ST_OK;
	while (status == ST_OK && count < 100) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		status = ctl_server_adopt(w->control.ctl, pair[1]);
		client[count++] = (struct client){ .fd = pair[0] };
	}
	assert_int_equal(status, ST_FULL);
	json_t *reply = hear(w, &client[count - 1]);
	assert_non_null(strstr(error_of(reply), "too many clients"));
	json_decref(reply);
	while (count > 0)
		close_client(&client[--count]);
}

static void the_socket_is_for_the_group_and_a_stale_one_is_replaced(void **state)
{
	struct world *w = *state;
	struct stat info;
	struct ctl_server *other;
	char path[128];
	const char *own = w->control.config->control_socket;
	assert_int_equal(stat(own, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0660);
	assert_int_equal(ctl_server_new(&other, w->base, own, &w->control), ST_BUSY);
	assert_null(other);
	struct sockaddr_un stale = { .sun_family = AF_UNIX };
	snprintf(path, sizeof(path), "%s/stale.sock", w->directory);
	strlcpy(stale.sun_path, path, sizeof(stale.sun_path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);
	close(fd);
	assert_int_equal(ctl_server_new(&other, w->base, path, &w->control), ST_OK);
	ctl_server_free(other);
	assert_int_equal(stat(path, &info), -1);
	write_text(path, "a file");
	assert_int_equal(ctl_server_new(&other, w->base, path, &w->control), ST_EXISTS);
	assert_int_equal(stat(path, &info), 0);
}

static unsigned lines_of(FILE *file)
{
	unsigned lines = 0;
	rewind(file);
	for (int c; (c = fgetc(file)) != EOF;)
		lines += c == '\n';
	return lines;
}

// A client that cannot be accepted stays in the queue and wakes the loop at once, each time.
static void without_a_descriptor_the_next_client_waits_and_the_log_stays_short(void **state)
{
	struct world *w = *state;
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	strlcpy(own.sun_path, w->control.config->control_socket, sizeof(own.sun_path));
	AWAIT(w->base, publisher_counts(w->control.publisher).busy == 0); // its files are closed again
	struct client client = { .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
	assert_int_equal(connect(client.fd, (struct sockaddr *)&own, sizeof(own)), 0);
	FILE *log = tmpfile();
	int terminal = dup(STDERR_FILENO), next = dup(client.fd);
	close(next);
	struct rlimit before, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dup2(fileno(log), STDERR_FILENO);
	for (unsigned i = 0; i < 50; i++)
		event_base_loop(w->base, EVLOOP_ONCE);
	dup2(terminal, STDERR_FILENO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_in_range(lines_of(log), 1, 5);
	say(&client, "{\"command\":\"help\"}\n");
	json_t *reply = hear(w, &client);
	assert_true(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
	close_client(&client);
	close(terminal);
	fclose(log);
}

// A small generator of its own, so that a failure comes again.
static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void count_reply(void *ctx, json_t *reply)
{
	++*(unsigned *)ctx;
	assert_true(json_is_boolean(json_object_get(reply, "ok")));
	json_decref(reply);
}

static void every_mutated_request_gets_one_reply(void **state)
{
	struct world *w = *state;
	await_zones(w);
	uint32_t seed = 1;
	unsigned replies = 0, requests = 0;
	for (unsigned i = 0; i < 20000; i++) {
		char line[256];
		const struct command *command = &commands[next_random(&seed) % command_count];
		if (strcmp(command->words, "config reload") == 0)
			continue; // slow, and has its own test
		int bytes = snprintf(line, sizeof(line), "{\"v\":1,\"command\":\"%s\",\"args\":[\"one.example\",\"%s\"]}",
			command->words, command->arguments);
		for (unsigned n = next_random(&seed) % 3; n > 0; n--)
			line[next_random(&seed) % (unsigned)bytes] = (char)next_random(&seed);
		json_t *request = json_loadb(line, (size_t)bytes, JSON_DECODE_ANY, NULL);
		if (!request)
			continue;
		requests++;
		commands_run(&w->control, request, "a test", RIGHT_WRITE, count_reply, &replies);
		json_decref(request);
		if (i % 64 == 0)
			event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	AWAIT(w->base, replies == requests);
	assert_true(requests > 1000);
}

#define SENTENCE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENTENCE(help_tells_every_command),
		SENTENCE(status_counts_zones),
		SENTENCE(stats_add_up_over_workers_and_classes),
		SENTENCE(a_reload_answers_when_it_is_done_and_names_the_line),
		SENTENCE(a_zone_is_added_shown_and_removed),
		SENTENCE(a_config_reload_takes_over_zones_and_names_what_needs_a_restart),
		SENTENCE(a_config_check_changes_nothing),
		SENTENCE(the_log_level_is_shown_and_set),
		SENTENCE(stop_replies_and_ends_the_loop),
		SENTENCE(wrong_words_are_told_with_the_usage),
		SENTENCE(rubbish_gets_an_error_and_the_connection_goes_on),
		SENTENCE(deep_nesting_is_refused),
		SENTENCE(a_line_too_long_ends_the_connection),
		SENTENCE(requests_may_come_octet_by_octet_or_many_at_once),
		SENTENCE(a_client_that_closes_its_side_still_gets_its_replies),
		SENTENCE(a_client_that_leaves_during_its_command_hurts_nobody),
		SENTENCE(a_client_that_never_reads_holds_up_nobody_else),
		SENTENCE(clients_beyond_the_limit_are_told_so),
		SENTENCE(the_socket_is_for_the_group_and_a_stale_one_is_replaced),
		SENTENCE(without_a_descriptor_the_next_client_waits_and_the_log_stays_short),
		SENTENCE(every_mutated_request_gets_one_reply),
	};
	return cmocka_run_group_tests_name("commands", tests, NULL, NULL) ? 1 : 0;
}

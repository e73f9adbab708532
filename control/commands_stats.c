// SPDX-License-Identifier: BSD-3-Clause
// status, stats, connections.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pollux/counters.h>

#include "chain.h"
#include "commands.h"
#include "misses.h"
#include "query_log.h"

#define SNAPSHOT_TRIES 20 // a copy taken between two counts of one burst does not add up; the next one does

#define CLASS_COUNT (COUNTS_DETAIL + 1)
static const char *const class_name[CLASS_COUNT] = { "received", "answered", "missed", "punted", "dropped", "detail" };

static json_t *json_number(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_number(number));
}

static void set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, json_text(text));
}

// --- one worker's counters, copied ---

struct snapshot {
	uint64_t counter[COUNTER_COUNT], sum[CLASS_COUNT], latency[LATENCY_BUCKETS], turns;
	uint32_t lcore;
	bool balanced;
};

static uint64_t peek(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void copy_worker(struct snapshot *to, const struct worker_stats *from)
{
	memset(to, 0, sizeof(*to));
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		to->counter[i] = peek(&from->counter[i]);
		to->sum[counter_info[i].class] += to->counter[i];
	}
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		to->latency[i] = peek(&from->latency[i]);
	to->turns = atomic_load_explicit(&from->turns, memory_order_relaxed);
	to->lcore = from->lcore;
	to->balanced = to->sum[COUNTS_RECEIVED] == to->sum[COUNTS_ANSWERED] + to->sum[COUNTS_MISSED] +
			to->sum[COUNTS_PUNTED] + to->sum[COUNTS_DROPPED];
}

static void snapshot_worker(struct snapshot *to, const struct worker_stats *from)
{
	for (unsigned i = 0; i < SNAPSHOT_TRIES; i++) {
		copy_worker(to, from);
		if (to->balanced)
			return;
	}
}

static void add_snapshot(struct snapshot *to, const struct snapshot *more)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		to->counter[i] += more->counter[i];
	for (unsigned i = 0; i < CLASS_COUNT; i++)
		to->sum[i] += more->sum[i];
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		to->latency[i] += more->latency[i];
	to->balanced &= more->balanced;
}

// All workers' counters and, behind them, their sum.
struct picture {
	unsigned workers;
	struct snapshot of[WORKERS_MAX + 1];
};

static void take_picture(struct picture *picture, const struct side_door *door)
{
	const struct stats *stats = side_door_stats(door);
	picture->workers = stats ? side_door_workers(door) : 0;
	struct snapshot *total = &picture->of[picture->workers];
	memset(total, 0, sizeof(*total));
	total->balanced = true;
	for (unsigned i = 0; i < picture->workers; i++) {
		snapshot_worker(&picture->of[i], &stats->worker[i]);
		add_snapshot(total, &picture->of[i]);
	}
}

static const struct snapshot *total_of(const struct picture *picture)
{
	return &picture->of[picture->workers];
}

static void name_worker(char *to, size_t room, unsigned worker)
{
	snprintf(to, room, "worker_%u", worker);
}

// --- stats ---

static json_t *counter_rows(const struct picture *picture)
{
	json_t *rows = json_array();
	for (unsigned c = 0; c < COUNTER_COUNT; c++) {
		json_t *row = json_pack("{s:s, s:s}", "counter", counter_info[c].name, "class",
			class_name[counter_info[c].class]);
		set_number(row, "total", total_of(picture)->counter[c]);
		for (unsigned w = 0; w < picture->workers; w++) {
			char column[24];
			name_worker(column, sizeof(column), w);
			set_number(row, column, picture->of[w].counter[c]);
		}
		set_text(row, "unit", counter_info[c].unit);
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *sum_rows(const struct picture *picture)
{
	json_t *rows = json_array();
	for (unsigned c = COUNTS_RECEIVED; c <= COUNTS_DROPPED; c++) {
		json_t *row = json_pack("{s:s}", "packets", class_name[c]);
		set_number(row, "total", total_of(picture)->sum[c]);
		for (unsigned w = 0; w < picture->workers; w++) {
			char column[24];
			name_worker(column, sizeof(column), w);
			set_number(row, column, picture->of[w].sum[c]);
		}
		json_array_append_new(rows, row);
	}
	return rows;
}

// The time below which that share of the answers stays, linear inside a bucket, in nanoseconds.
static uint64_t percentile_ns(const uint64_t *latency, uint64_t all, unsigned per_mille)
{
	uint64_t rank = (all * per_mille + 999) / 1000, seen = 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		if (seen + latency[i] >= rank && latency[i])
			return (UINT64_C(1) << i) + (uint64_t)((double)(UINT64_C(1) << i) * (double)(rank - seen) /
				(double)latency[i]);
		seen += latency[i];
	}
	return 0;
}

static json_t *latency_row(const char *who, const struct snapshot *of)
{
	uint64_t all = 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		all += of->latency[i];
	json_t *row = json_object();
	set_text(row, "worker", who);
	set_number(row, "answers", all);
	static const struct {
		const char *key;
		unsigned per_mille;
	} share[] = { { "p50_ns", 500 }, { "p90_ns", 900 }, { "p99_ns", 990 }, { "p999_ns", 999 } };
	for (unsigned i = 0; i < sizeof(share) / sizeof(share[0]); i++)
		json_object_set_new(row, share[i].key,
			all ? json_number(percentile_ns(of->latency, all, share[i].per_mille)) : json_null());
	return row;
}

static json_t *latency_rows(const struct picture *picture)
{
	json_t *rows = json_array();
	for (unsigned w = 0; w < picture->workers; w++) {
		char who[24];
		snprintf(who, sizeof(who), "%u", w);
		json_array_append_new(rows, latency_row(who, &picture->of[w]));
	}
	json_array_append_new(rows, latency_row("total", total_of(picture)));
	return rows;
}

// For programs: each worker's counters by name.
static json_t *worker_objects(const struct picture *picture)
{
	json_t *list = json_array();
	for (unsigned w = 0; w < picture->workers; w++) {
		const struct snapshot *of = &picture->of[w];
		json_t *counters = json_object(), *sums = json_object(), *latency = json_array();
		for (unsigned c = 0; c < COUNTER_COUNT; c++)
			set_number(counters, counter_info[c].name, of->counter[c]);
		for (unsigned c = COUNTS_RECEIVED; c <= COUNTS_DROPPED; c++)
			set_number(sums, class_name[c], of->sum[c]);
		for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
			json_array_append_new(latency, json_number(of->latency[i]));
		json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:b, s:o, s:o, s:o}", "worker", (int)w, "lcore",
					     (int)of->lcore, "turns", (json_int_t)of->turns, "balanced",
					     (int)of->balanced, "sums", sums, "counters", counters,
					     "latency_log2_ns", latency));
	}
	return list;
}

static json_t *port_rows(const struct side_door *door)
{
	json_t *rows = json_array();
	const struct stats *stats = side_door_stats(door);
	for (unsigned i = 0; stats && i < side_door_ports(door); i++) {
		struct port_stats port = stats->port[i];
		char mac[18];
		port.device[sizeof(port.device) - 1] = '\0';
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", port.mac[0], port.mac[1], port.mac[2],
			port.mac[3], port.mac[4], port.mac[5]);
		json_t *row = json_object();
		set_number(row, "port", i);
		set_text(row, "device", port.device);
		set_text(row, "mac", mac);
		set_text(row, "link", port.link_up ? "up" : "down");
		set_number(row, "speed_mbps", port.speed_mbps);
		set_number(row, "mtu", port.mtu);
		set_number(row, "missed", port.missed);
		set_number(row, "errors", port.errors);
		set_number(row, "no_mbuf", port.no_mbuf);
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *dataplane_facts(const struct side_door *door)
{
	const struct stats *stats = side_door_stats(door);
	json_t *facts = json_object();
	json_object_set_new(facts, "alive", json_boolean(side_door_is_attached(door)));
	if (!stats)
		return facts;
	set_number(facts, "pid", (uint64_t)(uint32_t)stats->pid);
	set_number(facts, "workers", side_door_workers(door));
	set_number(facts, "ports", side_door_ports(door));
	json_object_set_new(facts, "started", json_time(stats->started_s));
	uint64_t now = (uint64_t)time(NULL), started = stats->started_s;
	set_number(facts, "uptime_s", side_door_is_attached(door) && now > started ? now - started : 0);
	set_number(facts, "mbufs", stats->mbufs);
	set_number(facts, "mbufs_free", stats->mbufs_free);
	return facts;
}

static json_t *side_door_facts(const struct side_door *door)
{
	const struct side_door_counters *c = side_door_counters(door);
	json_t *facts = json_object();
	for (unsigned i = 0; i < MSG_COUNT; i++) {
		char key[32];
		bool up = msg_info[i].sender == FROM_DATAPLANE;
		snprintf(key, sizeof(key), "%s_%s", msg_info[i].name, up ? "received" : "sent");
		for (char *at = key; *at; at++)
			*at |= *at >= 'A' && *at <= 'Z' ? 0x20 : 0;
		set_number(facts, key, up ? c->received[i] : c->sent[i]);
	}
	set_number(facts, "malformed", c->malformed);
	set_number(facts, "stale", c->stale);
	set_number(facts, "corrupt", c->corrupt);
	set_number(facts, "ring_full", c->ring_full);
	set_number(facts, "no_dataplane", c->no_dataplane);
	set_number(facts, "attaches", c->attaches);
	return facts;
}

#define FACT(object, counters, member) set_number(object, #member, (counters)->member)

static json_t *misses_facts(const struct misses *misses)
{
	const struct misses_counters *c = misses_counters(misses);
	json_t *facts = json_object();
	FACT(facts, c, taken);
	FACT(facts, c, replied);
	FACT(facts, c, unsaid);
	FACT(facts, c, malformed);
	return facts;
}

static json_t *resolver_facts(struct resolver *resolver)
{
	const struct resolver_counters *c = resolver_counters(resolver);
	json_t *facts = json_object();
	FACT(facts, c, asked);
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		char key[32];
		if (!resolver_step(step))
			continue;
		snprintf(key, sizeof(key), "answered_%s", resolver_step(step)->name);
		set_number(facts, key, c->answered[step]);
	}
	FACT(facts, c, negative);
	FACT(facts, c, refreshed);
	FACT(facts, c, refused);
	FACT(facts, c, servfail);
	FACT(facts, c, dropped);
	FACT(facts, c, open);
	FACT(facts, c, coalesced);
	FACT(facts, c, prohibited);
	FACT(facts, c, in_flight);
	FACT(facts, c, turns_waiting);
	FACT(facts, c, turns_clients);
	FACT(facts, c, turns_queued);
	FACT(facts, c, turns_refused);
	FACT(facts, c, turns_late);
	FACT(facts, c, malformed);
	FACT(facts, c, full);
	FACT(facts, c, upstream_sent);
	FACT(facts, c, upstream_retries);
	FACT(facts, c, upstream_tcp);
	FACT(facts, c, upstream_tls);
	FACT(facts, c, upstream_probes);
	FACT(facts, c, upstream_connections);
	FACT(facts, c, upstream_resumed);
	FACT(facts, c, upstream_replies);
	FACT(facts, c, upstream_mismatched);
	FACT(facts, c, upstream_late);
	FACT(facts, c, upstream_floods);
	FACT(facts, c, upstream_timeouts);
	FACT(facts, c, upstream_malformed);
	FACT(facts, c, upstream_errors);
	FACT(facts, c, upstream_unreachable);
	FACT(facts, c, upstream_no_socket);
	FACT(facts, c, upstream_without_edns);
	FACT(facts, c, upstream_exhausted);
	FACT(facts, c, upstream_open);
	FACT(facts, c, upstream_sockets);
	return facts;
}

static json_t *query_log_facts(const struct query_log *log)
{
	const struct query_log_counters *c = query_log_counters(log);
	json_t *facts = json_object();
	FACT(facts, c, answers);
	FACT(facts, c, malformed);
	FACT(facts, c, lost);
	return facts;
}

static json_t *tcp_facts(const struct tcp_server *tcp)
{
	if (!tcp)
		return json_null();
	const struct tcp_counters *c = tcp_counters(tcp);
	json_t *facts = json_object();
	FACT(facts, c, accepted);
	FACT(facts, c, open);
	FACT(facts, c, refused_total);
	FACT(facts, c, refused_per_client);
	FACT(facts, c, refused_access);
	FACT(facts, c, evicted);
	FACT(facts, c, idle_closed);
	FACT(facts, c, overrun_closed);
	FACT(facts, c, reset);
	FACT(facts, c, accept_paused);
	FACT(facts, c, queries);
	FACT(facts, c, answers);
	FACT(facts, c, malformed);
	return facts;
}

static json_t *tap_facts(const struct tap *tap)
{
	if (!tap)
		return json_null();
	const struct tap_counters *c = tap_counters(tap);
	json_t *facts = json_object();
	FACT(facts, c, frames_in);
	FACT(facts, c, frames_out);
	FACT(facts, c, dropped_in);
	FACT(facts, c, dropped_out);
	FACT(facts, c, filtered_out);
	return facts;
}

void command_stats(struct call *call)
{
	static const char *const show[] = { "dataplane", "sums", "balanced", "counters", "ports", "latency", "side_door",
		"misses", "resolver", "tcp", "query_log", "tap", NULL };
	struct control *control = call_control(call);
	static struct picture picture; // too large for the stack; the event loop has one thread
	take_picture(&picture, control->door);
	json_t *data = json_object();
	json_object_set_new(data, "dataplane", dataplane_facts(control->door));
	json_object_set_new(data, "sums", sum_rows(&picture));
	json_object_set_new(data, "balanced", json_boolean(total_of(&picture)->balanced));
	json_object_set_new(data, "counters", counter_rows(&picture));
	json_object_set_new(data, "workers", worker_objects(&picture));
	json_object_set_new(data, "ports", port_rows(control->door));
	json_object_set_new(data, "latency", latency_rows(&picture));
	json_object_set_new(data, "side_door", side_door_facts(control->door));
	json_object_set_new(data, "misses", misses_facts(control->misses));
	json_object_set_new(data, "resolver", resolver_facts(control->resolver));
	json_object_set_new(data, "tcp", tcp_facts(control->tcp));
	json_object_set_new(data, "query_log", query_log_facts(control->query_log));
	json_object_set_new(data, "tap", tap_facts(control->tap));
	call_reply(call, data, show);
}

// --- status ---

static json_t *zones_facts(const struct control *control)
{
	struct publisher_counts counts = publisher_counts(control->publisher);
	struct catalog_usage usage = catalog_usage(control->catalog);
	json_t *facts = json_object();
	set_number(facts, "configured", counts.zones);
	set_number(facts, "loaded", counts.loaded);
	set_number(facts, "failed", counts.failed);
	set_number(facts, "loading", counts.loading);
	set_number(facts, "being_read", counts.busy);
	set_number(facts, "served", usage.zones - counts.blank);
	set_number(facts, "records", counts.records);
	json_object_set_new(facts, "complete", json_boolean(catalog_is_ready(control->catalog)));
	set_number(facts, "memory_used_bytes", usage.used_bytes);
	set_number(facts, "memory_retired_bytes", usage.retired_bytes);
	set_number(facts, "memory_file_bytes", usage.file_bytes);
	set_text(facts, "memory_directory", control->directory);
	return facts;
}

static json_t *questions_facts(const struct control *control)
{
	static struct picture picture;
	take_picture(&picture, control->door);
	const struct resolver_counters *resolver = resolver_counters(control->resolver);
	json_t *facts = json_object();
	set_number(facts, "answered_by_dataplane", total_of(&picture)->counter[COUNTER_answer_dns]);
	set_number(facts, "handed_to_control", total_of(&picture)->counter[COUNTER_miss]);
	set_number(facts, "asked_of_control", resolver->asked);
	set_number(facts, "answered_from_zones_by_control", resolver->answered[STEP_AUTHORITIES]);
	set_number(facts, "forwarded", resolver->answered[STEP_FORWARDERS] + resolver->negative);
	set_number(facts, "dropped_packets", total_of(&picture)->sum[COUNTS_DROPPED]);
	return facts;
}

static json_t *forwarders(const struct config *config)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < config->forward.server_count; i++) {
		const struct ip_endpoint *server = &config->forward.servers[i];
		char text[INET6_ADDRSTRLEN];
		if (!inet_ntop(server->family, server->bytes, text, sizeof(text)))
			continue;
		json_array_append_new(list, json_sprintf("%s@%u", text, server->port));
	}
	return list;
}

void command_status(struct call *call)
{
	struct control *control = call_control(call);
	json_t *data = json_object();
	set_text(data, "version", POLLUX_VERSION);
	set_text(data, "name", control->start_config->name);
	set_text(data, "configuration", control_config_path(control));
	set_number(data, "pid", (uint64_t)getpid());
	json_object_set_new(data, "started", json_time(control->started_s));
	set_number(data, "uptime_s", (control_now_ms() - control->started_ms) / 1000);
	json_object_set_new(data, "dataplane", dataplane_facts(control->door));
	json_object_set_new(data, "zones", zones_facts(control));
	json_object_set_new(data, "questions", questions_facts(control));
	json_object_set_new(data, "forwarders", forwarders(control->config));
	set_text(data, "tcp", control->tcp ? "served" : "not served");
	call_reply(call, data, NULL);
}

// --- connections ---

static void list_connection(void *ctx, const struct sockaddr *peer, uint64_t age_ms, uint64_t queries)
{
	char text[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;
	if (peer->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)peer;
		inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text));
		port = ntohs(in4->sin_port);
	} else if (peer->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		port = ntohs(in6->sin6_port);
	}
	json_t *row = json_object();
	set_text(row, "peer", text);
	set_number(row, "port", port);
	set_number(row, "age_ms", age_ms);
	set_number(row, "queries", queries);
	json_array_append_new(ctx, row);
}

void command_connections(struct call *call)
{
	json_t *rows = json_array();
	if (call_control(call)->tcp)
		tcp_each(call_control(call)->tcp, list_connection, rows);
	call_reply(call, rows, NULL);
}

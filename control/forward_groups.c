// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pollux/log.h>

#include "client/resolvconf.h"
#include "forward_groups.h"
#include "resolve.h"
#include "tap.h"
#include "watch.h"

#define STREAM_IDLE_MS 10000

RB_HEAD(zone_tree, group);

struct groups {
	struct event_base *base;
	struct tap *tap;
	struct zone_tree zones;
	struct upstream_counters gone;
	bool by_ports; // questions leave through the TAP
	// What is needed of the configuration to read the resolver file again.
	char *resolv_conf; // NULL: none
	struct watch *watch;
	struct upstream_options common;
	struct ip_endpoint *own; // service addresses, with the service port
	unsigned own_count;
};

static int compare_zones(const struct group *a, const struct group *b)
{
	if (a->zone_bytes != b->zone_bytes)
		return a->zone_bytes < b->zone_bytes ? -1 : 1;
	return memcmp(a->zone, b->zone, a->zone_bytes);
}

RB_GENERATE_INTERNAL(zone_tree, group, by_zone, compare_zones, __attribute__((unused)) static)

static struct group *zone_at(const struct groups *groups, const uint8_t *zone)
{
	struct group key;
	key.zone_bytes = (uint8_t)name_length(zone, NAME_MAX_BYTES);
	memcpy(key.zone, zone, key.zone_bytes);
	return RB_FIND(zone_tree, (struct zone_tree *)(uintptr_t)&groups->zones, &key);
}

struct group *groups_find(const struct groups *groups, const uint8_t *name)
{
	for (;; name += name[0] + 1u) {
		struct group *group = zone_at(groups, name);
		if (group || !*name)
			return group;
	}
}

void groups_each(const struct groups *groups, void (*visit)(void *ctx, struct group *), void *ctx)
{
	struct group *first;
	RB_FOREACH (first, zone_tree, (struct zone_tree *)(uintptr_t)&groups->zones) {
		for (struct group *group = first; group; group = group->next)
			visit(ctx, group);
	}
}

const struct upstream_counters *groups_gone(const struct groups *groups)
{
	return &groups->gone;
}

bool groups_any(const struct groups *groups)
{
	struct group *first;
	RB_FOREACH (first, zone_tree, (struct zone_tree *)(uintptr_t)&groups->zones) {
		for (struct group *group = first; group; group = group->next)
			if (group->servers)
				return true;
	}
	return false;
}

// --- what a group's upstream needs ---

static int open_socket(void *ctx, int family, int type)
{
	const struct groups *groups = ctx;
	if (groups->tap && groups->by_ports)
		return tap_socket(groups->tap, family, type);
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void on_server(void *ctx, const struct sockaddr *address, bool answers)
{
	char text[FORWARDER_TEXT_BYTES];
	(void)ctx;
	if (answers)
		log_info("forwarder %s answers again", forwarder_to_text(text, address));
	else
		log_warning("forwarder %s does not answer", forwarder_to_text(text, address));
}

static void on_trouble(void *ctx, const struct sockaddr *address, const char *reason)
{
	char text[FORWARDER_TEXT_BYTES];
	(void)ctx;
	log_warning("forwarder %s: no connection: %s", forwarder_to_text(text, address), reason);
}

static void take_common(struct groups *groups, const struct config *config)
{
	struct upstream_options *o = &groups->common;
	groups->by_ports = !strcmp(config->forward_via, "ports");
	*o = (struct upstream_options){
		.deadline_ms = config->forward_deadline_ms,
		.idle_ms = STREAM_IDLE_MS,
		.max_open = config->forward_max_open,
		.max_per_server = config->forward_max_per_server,
		.max_tries = config->forward_max_tries,
		.udp_size = (uint16_t)config->udp_size,
		.mix_case = true,
		.open_socket = open_socket,
		.socket_ctx = groups,
		.on_server = on_server,
		.on_trouble = on_trouble,
	};
	for (; o->timeout_count < config->forward_timeout_count && o->timeout_count < UPSTREAM_TIMEOUTS_MAX; o->timeout_count++)
		o->timeouts_ms[o->timeout_count] = config->forward_timeouts_ms[o->timeout_count];
}

// --- groups come and go ---

static struct group *new_group(struct groups *groups, const uint8_t *zone)
{
	struct group *group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->groups = groups;
	RB_INIT(&group->asked);
	group->zone_bytes = (uint8_t)name_fold(group->zone, zone);
	return group;
}

static void free_group(struct group *group)
{
	if (group->upstream)
		upstream_counters_add(&group->groups->gone, upstream_counters(group->upstream));
	upstream_free(group->upstream);
	free(group);
}

// The next group of that zone which the new configuration has not named yet; a fresh one behind the others when there
// is none. What a group has learned about its servers stays with its place.
static struct group *group_for(struct groups *groups, const uint8_t *zone)
{
	uint8_t folded[NAME_MAX_BYTES];
	name_fold(folded, zone);
	struct group *first = zone_at(groups, folded), *last = NULL;
	for (struct group *group = first; group; last = group, group = group->next)
		if (!group->seen)
			return group;
	struct group *group = new_group(groups, folded);
	if (!group)
		return NULL;
	if (last) {
		group->place = last->place + 1;
		last->next = group;
	} else {
		RB_INSERT(zone_tree, &groups->zones, group);
	}
	return group;
}

// The unseen ones are the last of each zone.
static void drop_unseen(struct groups *groups)
{
	struct group *first, *next_zone;
	RB_FOREACH_SAFE (first, zone_tree, &groups->zones, next_zone) {
		struct group **at = &first->next, *drop;
		while (*at && (*at)->seen)
			at = &(*at)->next;
		drop = *at;
		*at = NULL;
		if (!first->seen) {
			RB_REMOVE(zone_tree, &groups->zones, first);
			first->next = drop;
			drop = first;
		}
		while (drop) {
			struct group *next = drop->next;
			free_group(drop);
			drop = next;
		}
	}
}

// --- one group ---

static const char *name_of(char *to, const struct group *group)
{
	return group->zone_bytes == 1 && !group->place ? "forward" : name_to_text(to, group->zone);
}

// Servers without TLS when TLS is wanted would be asked in clear text: rather nobody is.
static bool profile_of(const struct forward_config *from, const struct group *group, struct tls_profile **profile)
{
	char problem[TLS_PROBLEM_BYTES], name[NAME_TEXT_BYTES];
	*profile = NULL;
	if (from->protocol != FORWARD_TLS)
		return true;
	const struct tls_options options = {
		.name = from->tls_name,
		.ca_file = from->tls_ca,
		.pins = (const uint8_t(*)[TLS_PIN_BYTES])(const void *)from->tls_pins,
		.pin_count = from->tls_pin_count,
	};
	*profile = tls_profile_new(&options, problem);
	if (!*profile)
		log_error("%s: its servers are not asked: %s", name_of(name, group), problem);
	return *profile;
}

static bool set_servers(struct group *group, const struct upstream_options *options, const struct upstream_peer *peers,
	unsigned count)
{
	if (!group->upstream && count)
		group->upstream = upstream_new(group->groups->base, options);
	if (!group->upstream)
		return !count;
	upstream_set_options(group->upstream, options);
	if (upstream_set_servers(group->upstream, peers, count) != ST_OK)
		return false;
	group->servers = count;
	return true;
}

static void take_servers(struct group *group, const struct upstream_options *options, const struct forward_config *from)
{
	struct upstream_peer peers[SERVERS_MAX];
	struct tls_profile *profile;
	unsigned count = 0;
	bool known = profile_of(from, group, &profile);
	for (; known && count < from->server_count && count < SERVERS_MAX; count++)
		peers[count] = (struct upstream_peer){ .address = ip_endpoint_address(&from->servers[count]),
			.protocol = from->protocol == FORWARD_TLS   ? PEER_TLS
				    : from->protocol == FORWARD_TCP ? PEER_TCP
								    : PEER_UDP,
			.tls = profile };
	if (!set_servers(group, options, peers, count))
		log_error("no memory for the servers of a forward zone; the former ones stay");
	tls_profile_drop(profile);
}

// --- the resolver file ---

static void log_finding(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx;
	(void)column;
	if (severity == SEVERITY_ERROR)
		log_error("%s: %s", file, text);
	else
		log_warning("%s:%u: %s; skipped", file, line, text);
}

static bool is_own(const struct groups *groups, const struct sockaddr_storage *address)
{
	for (unsigned i = 0; i < groups->own_count; i++) {
		struct sockaddr_storage own = ip_endpoint_address(&groups->own[i]);
		if (!memcmp(&own, address, sizeof(own)))
			return true;
	}
	return false;
}

// Behind the ports there is no loopback but that of our own.
static bool is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)address;
	if (address->ss_family == AF_INET)
		return ntohl(ip4->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&ip6->sin6_addr);
}

static bool may_be_asked(const struct groups *groups, const struct resolv_conf *conf, unsigned i)
{
	char text[FORWARDER_TEXT_BYTES];
	const struct sockaddr_storage *address = &conf->servers[i];
	forwarder_to_text(text, (const struct sockaddr *)address);
	if (is_own(groups, address))
		log_error("%s:%u: %s is a service address of this server: its questions would come back to it; skipped",
			groups->resolv_conf, conf->line[i], text);
	else if (groups->by_ports && is_loopback(address))
		log_error("%s%s: %s cannot be reached by way of the ports (forward.via); skipped", groups->resolv_conf,
			conf->line[i] ? "" : " names no server, so it is that of this machine", text);
	else
		return true;
	return false;
}

static struct upstream_options options_by(const struct upstream_options *common, const struct resolv_conf *conf)
{
	struct upstream_options options = *common;
	options.in_turn = conf->rotate;
	if (!conf->timeout_s && !conf->attempts)
		return options;
	unsigned timeout_ms = conf->timeout_s ? conf->timeout_s * 1000 : common->timeouts_ms[0];
	options.timeouts_ms[0] = timeout_ms;
	options.timeout_count = 1;
	unsigned tries = (conf->attempts ? conf->attempts : 2) * conf->server_count;
	options.max_tries = tries < options.max_tries ? tries : options.max_tries;
	unsigned whole_ms = timeout_ms * tries;
	options.deadline_ms = whole_ms > options.deadline_ms ? whole_ms : options.deadline_ms;
	return options;
}

// A file that cannot be read changes nothing.
static void take_resolver_file(struct groups *groups, struct group *group)
{
	struct resolv_conf conf;
	struct report report = { .emit = log_finding };
	if (resolv_conf_load(&conf, groups->resolv_conf, &report) != ST_OK)
		return;
	struct upstream_peer peers[RESOLV_SERVERS_MAX];
	unsigned count = 0;
	for (unsigned i = 0; i < conf.server_count; i++)
		if (may_be_asked(groups, &conf, i))
			peers[count++] = (struct upstream_peer){ .address = conf.servers[i], .protocol = PEER_UDP };
	const struct upstream_options options = options_by(&groups->common, &conf);
	if (!set_servers(group, &options, peers, count))
		log_error("no memory for the servers of %s; the former ones stay", groups->resolv_conf);
	else if (!count)
		log_error("%s: none of its servers can be asked; questions fail", groups->resolv_conf);
	else
		log_info("%s: %u server%s to forward to", groups->resolv_conf, count, count == 1 ? "" : "s");
}

static void on_resolver_file(void *ctx)
{
	struct groups *groups = ctx;
	struct group *group = zone_at(groups, (const uint8_t *)"");
	if (group && groups->resolv_conf)
		take_resolver_file(groups, group);
}

static void follow_resolver_file(struct groups *groups, const char *path)
{
	bool same = path && groups->resolv_conf && !strcmp(path, groups->resolv_conf);
	if (same)
		return;
	watch_free(groups->watch);
	free(groups->resolv_conf);
	groups->watch = NULL;
	groups->resolv_conf = path ? strdup(path) : NULL;
	if (groups->resolv_conf)
		groups->watch = watch_new(groups->base, path, on_resolver_file, groups);
	if (path && !groups->watch)
		log_error("no memory to follow %s", path);
}

void groups_reload(struct groups *groups)
{
	on_resolver_file(groups);
}

// --- the configuration ---

static void take_own(struct groups *groups, const struct config *config)
{
	unsigned count = 0, most = 0;
	for (unsigned i = 0; i < config->port_count; i++)
		most += config->ports[i].address_count;
	free(groups->own);
	groups->own_count = 0;
	groups->own = calloc(most + 1, sizeof(groups->own[0]));
	if (!groups->own)
		return;
	for (unsigned i = 0; i < config->port_count; i++) {
		for (unsigned k = 0; k < config->ports[i].address_count; k++) {
			const struct ip_prefix *address = &config->ports[i].addresses[k];
			struct ip_endpoint *own = &groups->own[count++];
			own->family = address->family;
			own->port = (uint16_t)config->service_port;
			memcpy(own->bytes, address->bytes, sizeof(own->bytes));
		}
	}
	groups->own_count = count;
}

static void take_group(struct groups *groups, const uint8_t *zone, const struct forward_config *from, bool by_file)
{
	struct group *group = group_for(groups, zone);
	if (!group) {
		log_error("no memory for a forward zone");
		return;
	}
	struct upstream_options options = groups->common;
	group->seen = true;
	group->is_closed = !by_file && !from->server_count;
	group->nxdomain_is_final = from->nxdomain_is_final;
	group->trusts_ad = options.trusts_ad = from->trust_ad;
	if (by_file)
		take_resolver_file(groups, group);
	else
		take_servers(group, &options, from);
}

static void clear_seen(void *ctx, struct group *group)
{
	(void)ctx;
	group->seen = false;
}

void groups_configure(struct groups *groups, const struct config *config)
{
	static const uint8_t root[1] = { 0 };
	bool by_file = config->forward_resolv_conf && !config->forward.server_count;
	take_common(groups, config);
	take_own(groups, config);
	follow_resolver_file(groups, by_file ? config->forward_resolv_conf : NULL);
	groups_each(groups, clear_seen, NULL);
	if (by_file || config->forward.server_count)
		take_group(groups, root, &config->forward, by_file);
	for (unsigned i = 0; i < config->forward_zone_count; i++)
		take_group(groups, config->forward_zones[i].zone, &config->forward_zones[i], false);
	drop_unseen(groups);
}

struct groups *groups_new(struct event_base *base, struct tap *tap)
{
	struct groups *groups = calloc(1, sizeof(*groups));
	if (!groups)
		return NULL;
	groups->base = base;
	groups->tap = tap;
	RB_INIT(&groups->zones);
	return groups;
}

void groups_free(struct groups *groups)
{
	if (!groups)
		return;
	groups_each(groups, clear_seen, NULL);
	drop_unseen(groups);
	watch_free(groups->watch);
	free(groups->resolv_conf);
	free(groups->own);
	free(groups);
}

// SPDX-License-Identifier: BSD-3-Clause
// The configuration: a YAML file read into one immutable object. Every error of a file is reported in one
// pass with file:line:column; a file with errors gives no object, so the running one goes on.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <pollux/bounds.h>
#include <pollux/catalog.h>
#include <pollux/log.h>
#include <pollux/report.h>
#include <pollux/status.h>

// An address with its prefix length, or with a port. `family` is AF_INET or AF_INET6.
struct ip_prefix {
	int family;
	uint8_t bytes[16]; // 4 used for AF_INET
	uint8_t length;	   // of the prefix in bits
};
struct ip_endpoint {
	int family;
	uint8_t bytes[16];
	uint16_t port;
};

// An item of an access list: a prefix, or a word that stands for several.
enum access_word { ACCESS_PREFIX, ACCESS_ANY, ACCESS_NONE, ACCESS_LOCAL };
struct access_item {
	bool denies; // written with a ! in front
	enum access_word word;
	struct ip_prefix prefix; // of ACCESS_PREFIX
};

// As the system's calls want it; octets that mean nothing are zero, so that two addresses may be compared as a whole.
struct sockaddr_storage ip_endpoint_address(const struct ip_endpoint *);

struct port_config {
	char *device; // PCI address ("0000:01:00.0") or vdev string ("net_af_packet0,iface=px0")
	struct ip_prefix *addresses; // service addresses with the prefix of their link
	unsigned address_count;
	struct ip_endpoint *gateways; // default routers for traffic of the kernel's stack; port is 0
	unsigned gateway_count;
	unsigned mtu;
};

struct zone_config {
	uint8_t *apex; // wire, folded
	char *file;    // absolute
	unsigned line; // where the configuration or the zone list names it; 0: a file of the zone directory
};

struct plugin_config {
	char *name, *file;
	char *options; // NULL: none
	unsigned time_limit_ms; // of one call
	unsigned deadline_ms;	// of one question
	bool every_question;	// the dataplane answers nothing itself
};

// The steps of the resolver chain, in the order they have unless the configuration says otherwise.
enum chain_step {
	STEP_OVERRIDES,
	STEP_AUTHORITIES,
	STEP_CACHE,
	STEP_HOSTS,
	STEP_PLUGINS,
	STEP_FORWARDERS,
	STEP_RECURSION,
	STEP_COUNT
};

enum server_family { FAMILY_BOTH, FAMILY_PREFER_IP4, FAMILY_PREFER_IP6, FAMILY_IP4, FAMILY_IP6 };

struct stub_config {
	uint8_t *zone; // wire, folded
	struct ip_endpoint *servers;
	unsigned server_count;
};

// How questions are put to others.
enum forward_protocol { FORWARD_UDP, FORWARD_TCP, FORWARD_TLS }; // UDP goes on over TCP after TC
struct tls_pin {
	uint8_t sha256[32]; // of a SubjectPublicKeyInfo (RFC 7858 4.2)
};
struct forward_config {
	uint8_t *zone; // wire, folded; NULL: every name
	struct ip_endpoint *servers; // none: names below `zone` are not forwarded
	unsigned server_count;
	enum forward_protocol protocol;
	char *tls_name, *tls_ca;  // NULL: known by its pins alone; authorities of the system
	struct tls_pin *tls_pins; // any of them
	unsigned tls_pin_count;
	bool nxdomain_is_final; // else the next servers are asked
	bool trust_ad;
};

// A rule as the configuration has it; what it means is read by config_overrides().
struct override_config {
	char *name, *type;
	char **answers;
	unsigned answer_count;
	unsigned ttl_s;
	unsigned line; // of the file
};

struct config {
	char *path;	      // the file it was read from
	char *name;	      // of this instance: keeps the regions and sockets of two instances apart
	char *runtime_dir;    // sockets and pid files
	char *shared_memory;  // directory for regions, "auto": see shm_directory()
	char *control_socket; // default: RUNTIME_DIR/control.sock

	unsigned *lcores; // one worker each
	unsigned lcore_count;
	unsigned main_lcore;
	unsigned mbufs;
	char *hugepages;	// "auto", "on", "off"
	unsigned idle_sleep_us; // 0: poll without pause
	unsigned idle_after_us;
	unsigned service_port;

	struct port_config *ports;
	unsigned port_count;

	struct zone_config *zones;
	unsigned zone_count;
	char *zone_list; // file of "origin<TAB>path" lines, or NULL
	char *zone_directory; // whose files are zones when they fit the pattern, or NULL
	char *zone_pattern;   // of file names; * stands for the origin
	char *state_dir;      // of what outlives a boot: zones added while running
	char *image_directory; // of saved images, or NULL

	enum chain_step *chain; // empty: all in their usual order
	unsigned chain_count;

	struct override_config *overrides;
	unsigned override_count;
	char *overrides_file; // more of them, or NULL
	bool override_before_clients; // else before the zones

	char **hosts_files;
	unsigned hosts_file_count;
	unsigned hosts_ttl_s;

	struct plugin_config *plugins;
	unsigned plugin_count;

	struct forward_config forward; // for what no forward-zone holds
	struct forward_config *forward_zones; // several of one zone: one after the other
	unsigned forward_zone_count;
	char *forward_resolv_conf; // instead of forward.servers; NULL: none
	char *forward_via;	    // "ports": by way of the TAP; "management": by the host's own interfaces
	unsigned *forward_timeouts_ms; // of the first try, the second ...; the last one goes on
	unsigned forward_timeout_count;
	unsigned forward_deadline_ms; // one question
	unsigned forward_max_open;  // questions waiting at once, in each group of servers
	unsigned forward_max_per_server; // and on the way to one server
	unsigned forward_max_tries; // messages sent for one question

	bool recursion;
	char *recursion_hints, *recursion_anchors; // files
	bool recursion_validate, recursion_mix_case, recursion_local_names;
	uint8_t **recursion_insecure; // names, wire, folded
	unsigned recursion_insecure_count;
	unsigned recursion_threads, recursion_deadline_ms;
	unsigned recursion_max_open;	// questions under way
	unsigned recursion_max_queries; // to the servers of one zone for one of them
	unsigned recursion_sockets;	// of a thread
	uint64_t recursion_cache_bytes; // of all threads
	enum server_family recursion_family;
	char *recursion_via; // "ports", "management"
	struct stub_config *stubs;
	unsigned stub_count;

	uint64_t cache_bytes; // of the region
	unsigned cache_max_ttl_s, cache_min_ttl_s, cache_negative_max_ttl_s, cache_failure_ttl_s;
	bool cache_prefetch, cache_stale;
	unsigned cache_stale_max_age_s;	      // after its end
	unsigned cache_stale_answer_after_ms; // of a question under way
	unsigned cache_stale_ttl_s;

	// Who may ask, use the chain, and take whole zones. The first item that fits decides.
	struct access_item *access_query, *access_recursion, *access_transfer;
	unsigned access_query_count, access_recursion_count, access_transfer_count;
	bool access_drops; // who may not ask gets no answer
	char **access_management, **access_monitoring; // users and @groups; empty: the mode of the socket decides
	unsigned access_management_count, access_monitoring_count;
	unsigned client_max_misses, client_max_in_flight;
	bool first_question; // of several the first is answered

	unsigned udp_size; // ceiling of UDP answers
	bool any_full;
	bool minimal; // no additional records but glue

	char *nsid, *identity_id, *identity_version; // NULL: not told
	enum cookie_mode cookie_mode;
	char *cookie_secret_file; // NULL: a random secret

	unsigned tcp_max_clients, tcp_max_per_client;
	unsigned tcp_idle_ms;
	unsigned tcp_max_pipelined; // questions of one connection being worked on

	enum log_level log_level;
	unsigned log_queries, log_sample;
	char *log_query_file; // NULL: the log
	enum log_target log_target;
};

// ST_OK and *config (free with config_free), or the first status that made it fail, every error reported.
// Paths that do not start with "/" are taken from the directory of the file.
CHECKED enum status config_read(struct config **config, const char *path, struct report *);
// The same from memory; `name` stands for the file in messages.
CHECKED enum status config_read_text(struct config **config, const char *text, size_t bytes, const char *name,
	struct report *);
void config_free(struct config *); // NULL is fine

// The effective configuration, defaults included, as YAML that reads back to the same.
void config_print(const struct config *, FILE *);

// The chain has this step, whether or not anything is configured for it.
bool config_has_step(const struct config *, enum chain_step);
// Whether anybody may be asked who is not us.
bool config_forwards(const struct config *);
// What it says about answering.
struct policy config_policy(const struct config *);
// What it says about who may what, as a block for the catalog; *block is the caller's, a malloc. ST_NO_MEMORY.
CHECKED enum status config_access(const struct config *, void **block, uint64_t *bytes);
// What it says about the server itself; the secrets are read from their file, if there is one, else there are none.
// Errors of that file are reported with file:line:column; then there are no secrets, either. ST_SYSTEM, ST_SYNTAX.
CHECKED enum status config_identity(const struct config *, struct server_identity *, struct report *);

// The trust anchors of recursion.trust-anchors, each as one line of text: "example. IN DS 20326 8 2 E06D...". Errors of the file are
// reported with file:line:column; then there are none. The result belongs to the caller (trust_anchors_free).
struct trust_anchors {
	char **line;
	unsigned count;
};
CHECKED enum status config_trust_anchors(const char *path, struct trust_anchors *, struct report *);
void trust_anchors_free(struct trust_anchors *);
// Whether that file leads to root servers: NS records of the root, and an address for one of them. ST_INVALID when it does not, or what a
// reader of master files says; all of it reported.
CHECKED enum status config_check_hints(const char *path, struct report *);
// Both, as far as this configuration needs them.
CHECKED enum status config_check_recursion(const struct config *, struct report *);

// The rules of the configuration and of its overrides-file, in this order. Bad ones are reported with file:line:column and
// left out: then ST_SYNTAX, or how the file could not be read. *rules are the caller's (override_rules_free), NULL only
// with ST_NO_MEMORY.
struct override_rules;
CHECKED enum status config_overrides(const struct config *, struct override_rules **rules, struct report *);

// When a changed option takes effect.
enum config_effect { ON_RELOAD, ON_RESTART };
struct option_info {
	const char *key, *kind, *default_text, *unit, *help;
	int64_t min, max;
	enum config_effect effect;
};
extern const struct option_info option_info[];
extern const unsigned option_count;
// The values an option may have, for people: "512 to 1452 octets", "0 to 10ms", "auto, on or off"; "" when its
// kind says it all.
void option_range_text(const struct option_info *, char *to, size_t room);
// Keys whose values differ and that a reload cannot change; calls `visit` for each.
void config_needs_restart(const struct config *running, const struct config *fresh,
	void (*visit)(void *ctx, const char *key), void *ctx);
// All keys whose values differ, with the time at which each takes effect.
void config_differences(const struct config *running, const struct config *fresh,
	void (*visit)(void *ctx, const char *key, enum config_effect), void *ctx);

// The zones of a zone list: lines of "origin<TAB>path", # starts a comment, relative paths start at the
// directory of the list. A bad line, or a zone named a second time, is reported with file:line:column and skipped, so
// that the others are served: ST_OK. ST_NOT_FOUND, ST_SYSTEM: unreadable, also reported. The result belongs to the caller
// (zone_configs_free), also when it is empty.
CHECKED enum status zone_list_read(const char *path, struct zone_config **zones, unsigned *count, struct report *);
// The zones of the configuration, of its zone list and of its zone directory together. A zone named twice is reported and
// taken from the first of these; the same file a second time is nothing to report. Statuses and ownership as above;
// when one of them is unreadable, the zones of the others.
CHECKED enum status config_zones(const struct config *, struct zone_config **zones, unsigned *count, struct report *);
void zone_configs_free(struct zone_config *zones, unsigned count);

// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <pollux/name.h>

#include "check.h"
#include "ip.h"
#include "names.h"
#include "overrides.h"

#define IP6_MINIMUM_MTU 1280 // RFC 8200 5
#define IP6_UDP_HEADER_BYTES 48

struct checking {
	struct config *config;
	const struct tree *tree;
	const char *name;
	struct report *report;
};

__attribute__((format(printf, 4, 5))) static void say(
	const struct checking *c, enum severity severity, const char *path, const char *format, ...)
{
	const struct tree_node *at = *path ? tree_find(c->tree, path) : NULL;
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(c->report, severity, c->name, at ? at->line : 0, at ? at->column : 0, "%s", text);
}

static const char *path_of(char *to, size_t room, const char *list, unsigned i, const char *key, unsigned j)
{
	snprintf(to, room, "%s[%u].%s[%u]", list, i, key, j);
	return to;
}

// The service address with these bytes, but for ports[not_port].addresses[not_address] and what follows.
static bool find_service_address(const struct config *config, int family, const unsigned char *bytes,
	unsigned not_port, unsigned not_address, unsigned *port)
{
	for (unsigned i = 0; i < config->port_count && i <= not_port; i++) {
		const struct port_config *p = &config->ports[i];
		for (unsigned j = 0; j < p->address_count && (i < not_port || j < not_address); j++) {
			if (!ip_same(p->addresses[j].family, p->addresses[j].bytes, family, bytes))
				continue;
			*port = i;
			return true;
		}
	}
	return false;
}

static bool is_service_address(const struct config *config, int family, const unsigned char *bytes)
{
	unsigned port;
	return find_service_address(config, family, bytes, config->port_count, 0, &port);
}

// The host part is all zeros or all ones on an IPv4 link of more than two addresses (RFC 1122 3.2.1.3).
static bool is_network_or_broadcast(const struct ip_prefix *prefix)
{
	if (prefix->family != AF_INET || prefix->length > 30)
		return false;
	unsigned address = (unsigned)prefix->bytes[0] << 24 | (unsigned)prefix->bytes[1] << 16 |
			   (unsigned)prefix->bytes[2] << 8 | prefix->bytes[3];
	unsigned hosts = 0xffffffffu >> prefix->length;
	return (address & hosts) == 0 || (address & hosts) == hosts;
}

static void check_addresses(const struct checking *c, unsigned i)
{
	const struct port_config *port = &c->config->ports[i];
	for (unsigned j = 0; j < port->address_count; j++) {
		const struct ip_prefix *address = &port->addresses[j];
		char path[64], text[IP_TEXT_BYTES];
		unsigned other;
		if (!address->family)
			continue;
		path_of(path, sizeof(path), "ports", i, "addresses", j);
		ip_print_prefix(address, text, sizeof(text));
		if (find_service_address(c->config, address->family, address->bytes, i, j, &other))
			say(c, SEVERITY_ERROR, path,
				"ports[].addresses: %s is an address of ports[%u] already", text, other);
		if (is_network_or_broadcast(address))
			say(c, SEVERITY_WARNING, path,
				"ports[].addresses: %s is the network's or the broadcast address of its link",
				text);
		if (address->family == AF_INET6 && port->mtu && port->mtu < IP6_MINIMUM_MTU)
			say(c, SEVERITY_ERROR, path,
				"ports[].addresses: IPv6 needs an mtu of 1280 at least (RFC 8200 5), not %u",
				port->mtu);
	}
}

static bool is_on_link(const struct port_config *port, int family, const unsigned char *bytes)
{
	for (unsigned j = 0; j < port->address_count; j++)
		if (port->addresses[j].family && ip_in_prefix(&port->addresses[j], family, bytes))
			return true;
	return family == AF_INET6 && ip_is_link_local(family, bytes);
}

static void check_gateways(const struct checking *c, unsigned i)
{
	const struct port_config *port = &c->config->ports[i];
	for (unsigned j = 0; j < port->gateway_count; j++) {
		const struct ip_endpoint *gateway = &port->gateways[j];
		char path[64], text[IP_TEXT_BYTES];
		if (!gateway->family)
			continue;
		path_of(path, sizeof(path), "ports", i, "gateways", j);
		ip_print_endpoint(gateway, 0, text, sizeof(text));
		if (is_service_address(c->config, gateway->family, gateway->bytes))
			say(c, SEVERITY_ERROR, path,
				"ports[].gateways: %s is a service address of this appliance", text);
		else if (!is_on_link(port, gateway->family, gateway->bytes))
			say(c, SEVERITY_WARNING, path, "ports[].gateways: %s is on no link of this port",
				text);
	}
}

static void check_devices(const struct checking *c, unsigned i)
{
	const char *device = c->config->ports[i].device;
	for (unsigned j = 0; device && j < i; j++) {
		if (!c->config->ports[j].device || strcmp(c->config->ports[j].device, device) != 0)
			continue;
		char path[64];
		snprintf(path, sizeof(path), "ports[%u].device", i);
		say(c, SEVERITY_ERROR, path, "ports[].device: '%s' is the device of ports[%u] already",
			device, j);
		return;
	}
}

static void check_port_mtu(const struct checking *c, unsigned i)
{
	unsigned mtu = c->config->ports[i].mtu;
	char path[64];
	snprintf(path, sizeof(path), "ports[%u].mtu", i);
	if (mtu && c->config->udp_size && c->config->udp_size + IP6_UDP_HEADER_BYTES > mtu)
		say(c, SEVERITY_WARNING, path,
			"ports[].mtu: an answer of answers.udp-size (%u) octets does not fit into a packet "
			"of %u",
			c->config->udp_size, mtu);
}

static void check_ports(const struct checking *c)
{
	for (unsigned i = 0; i < c->config->port_count; i++) {
		check_devices(c, i);
		check_addresses(c, i);
		check_gateways(c, i);
		check_port_mtu(c, i);
	}
	if (c->config->port_count == 0 && c->report->errors == 0)
		say(c, SEVERITY_WARNING, "", "no ports: pollux-dataplane will not start");
}

static void check_zones(const struct checking *c)
{
	struct name_set set = { 0 };
	const struct tree_node *list = tree_find(c->tree, "zones");
	const struct tree_node *item = list && list->kind == TREE_LIST ? list->first : NULL;
	for (unsigned i = 0; i < c->config->zone_count; i++, item = item ? item->next : NULL) {
		struct zone_config *zones = c->config->zones;
		zones[i].line = item ? item->line : 0;
		if (!zones[i].apex || report_is_full(c->report))
			continue;
		unsigned first = name_set_add(&set, zones, i);
		if (first == i)
			continue;
		char path[64], text[NAME_TEXT_BYTES];
		snprintf(path, sizeof(path), "zones[%u].name", i);
		say(c, SEVERITY_ERROR, path, "zones[].name: '%s' a second time; the first is at line %u",
			name_to_text(text, zones[i].apex), zones[first].line);
	}
	name_set_free(&set);
}

// Whether a question to this address can leave by way of the ports.
static bool is_reachable_by_ports(const struct config *config, const struct ip_endpoint *server)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		const struct port_config *port = &config->ports[i];
		if (is_on_link(port, server->family, server->bytes))
			return true;
		for (unsigned j = 0; j < port->gateway_count; j++)
			if (port->gateways[j].family == server->family)
				return true;
	}
	return false;
}

static void check_server(const struct checking *c, const struct forward_config *forward, const char *where, unsigned i)
{
	const struct config *config = c->config;
	const struct ip_endpoint *server = &forward->servers[i];
	char path[64], text[IP_TEXT_BYTES];
	if (!server->family)
		return;
	snprintf(path, sizeof(path), "%s.servers[%u]", where, i);
	ip_print_endpoint(server, 53, text, sizeof(text));
	bool by_ports = config->forward_via && strcmp(config->forward_via, "ports") == 0;
	if (is_service_address(config, server->family, server->bytes))
		say(c, SEVERITY_ERROR, path, "%s.servers: %s is a service address of this appliance: a loop", where, text);
	else if (by_ports && ip_is_loopback(server->family, server->bytes))
		say(c, SEVERITY_ERROR, path, "%s.servers: %s cannot be reached by way of the ports; set via: management",
			where, text);
	else if (by_ports && c->tree->whole && !is_reachable_by_ports(config, server))
		say(c, SEVERITY_WARNING, path, "%s.servers: %s is on no link of the ports, and no gateway leads there", where,
			text);
	else if (forward->protocol == FORWARD_TLS && server->port == 53)
		say(c, SEVERITY_ERROR, path, "%s.servers: %s: port 53 is never for TLS (RFC 7858 3.1)", where, text);
}

static void check_group(const struct checking *c, const struct forward_config *forward, const char *where)
{
	char path[64];
	for (unsigned i = 0; i < forward->server_count; i++)
		check_server(c, forward, where, i);
	bool known = forward->tls_name || forward->tls_pin_count;
	snprintf(path, sizeof(path), "%s.protocol", where);
	if (forward->protocol == FORWARD_TLS && !known)
		say(c, SEVERITY_ERROR, path,
			"%s.protocol: tls needs tls-name or tls-pin, by which the servers are known (RFC 8310 5)", where);
	snprintf(path, sizeof(path), "%s.tls-ca", where);
	if (forward->tls_ca && !forward->tls_name)
		say(c, SEVERITY_WARNING, path, "%s.tls-ca: without tls-name it is not used", where);
	else if (forward->protocol != FORWARD_TLS && known)
		say(c, SEVERITY_WARNING, "", "%s: tls-name and tls-pin are for protocol: tls alone", where);
}

static void check_forwarders(const struct checking *c)
{
	const struct config *config = c->config;
	check_group(c, &config->forward, "forward");
	for (unsigned i = 0; i < config->forward_zone_count; i++) {
		char where[32];
		snprintf(where, sizeof(where), "forward-zones[%u]", i);
		check_group(c, &config->forward_zones[i], where);
	}
	if (config->forward_timeout_count && config->forward_deadline_ms &&
		config->forward_timeouts_ms[0] > config->forward_deadline_ms)
		say(c, SEVERITY_ERROR, "forward.timeout",
			"forward.timeout: one try (%u ms) cannot be longer than forward.deadline (%u ms)",
			config->forward_timeouts_ms[0], config->forward_deadline_ms);
	if (config->forward_resolv_conf && config->forward.server_count)
		say(c, SEVERITY_WARNING, "forward.resolv-conf", "forward.resolv-conf: forward.servers replace it");
}

static void check_stubs(const struct checking *c)
{
	const struct config *config = c->config;
	for (unsigned i = 0; i < config->stub_count; i++) {
		const struct stub_config *stub = &config->stubs[i];
		char path[64], text[NAME_TEXT_BYTES];
		for (unsigned j = 0; j < stub->server_count; j++) {
			const struct ip_endpoint *server = &stub->servers[j];
			path_of(path, sizeof(path), "stub-zones", i, "servers", j);
			if (server->family && is_service_address(config, server->family, server->bytes))
				say(c, SEVERITY_ERROR, path,
					"stub-zones[].servers: a service address of this appliance: a loop");
		}
		for (unsigned j = 0; stub->zone && j < i; j++) {
			if (!config->stubs[j].zone || !name_equal(config->stubs[j].zone, stub->zone))
				continue;
			snprintf(path, sizeof(path), "stub-zones[%u].zone", i);
			say(c, SEVERITY_ERROR, path, "stub-zones[].zone: '%s' a second time",
				name_to_text(text, stub->zone));
			break;
		}
	}
	if (config->stub_count && !config->recursion)
		say(c, SEVERITY_WARNING, "stub-zones",
			"stub-zones: not used without recursion.enabled: true");
}

static void check_socket_path(const struct checking *c)
{
	size_t bytes = c->config->control_socket ? strlen(c->config->control_socket) : 0;
	if (bytes > 107)
		say(c, SEVERITY_ERROR, "runtime-dir",
			"runtime-dir: the control socket '%s' has a path of %zu octets, 107 is the most",
			c->config->control_socket, bytes);
}

static void check_zone_pattern(const struct checking *c)
{
	const char *pattern = c->config->zone_pattern, *star = pattern ? strchr(pattern, '*') : NULL;
	if (pattern && (!star || strchr(star + 1, '*') || strchr(pattern, '/')))
		say(c, SEVERITY_ERROR, "zone-directory.pattern",
			"zone-directory.pattern: '%s' must have exactly one *, which stands for the origin, and no slash",
			pattern);
}

// The dataplane looks into these three before anybody else can be asked, and in this order.
static void check_chain(const struct checking *c)
{
	const struct config *config = c->config;
	for (unsigned i = 1; i < config->chain_count; i++) {
		char path[32];
		if (config->chain[i] > STEP_CACHE || config->chain[i - 1] < config->chain[i])
			continue;
		snprintf(path, sizeof(path), "chain[%u]", i);
		say(c, SEVERITY_ERROR, path,
			"chain: overrides, authorities and cache come first and in this order, as the dataplane asks them");
	}
}

static void check_plugins(const struct checking *c)
{
	const struct plugin_config *plugins = c->config->plugins;
	for (unsigned i = 0; i < c->config->plugin_count; i++) {
		for (unsigned j = 0; plugins[i].name && j < i; j++) {
			if (!plugins[j].name || strcmp(plugins[i].name, plugins[j].name) != 0)
				continue;
			char path[32];
			snprintf(path, sizeof(path), "plugins[%u].name", i);
			say(c, SEVERITY_ERROR, path, "plugins[].name: '%s' is the name of plugins[%u] already",
				plugins[i].name, j);
			break;
		}
	}
}

static void check_purpose(const struct checking *c)
{
	const struct config *config = c->config;
	if (config->zone_count == 0 && !config->zone_list && !config->zone_directory &&
		!config_forwards(config) && config->hosts_file_count == 0 && config->plugin_count == 0 &&
		config->override_count == 0 && !config->overrides_file && !config->recursion && c->report->errors == 0)
		say(c, SEVERITY_WARNING, "",
			"neither zones nor overrides, hosts, plugins, servers to forward to or recursion: every question will be REFUSED");
}

enum status config_check(
	struct config *config, const struct tree *tree, const char *name, struct report *report)
{
	const struct checking c = { config, tree, name, report };
	unsigned errors = report->errors;
	overrides_check_config(config, tree, report);
	check_ports(&c);
	check_zones(&c);
	check_zone_pattern(&c);
	check_chain(&c);
	check_forwarders(&c);
	check_stubs(&c);
	check_socket_path(&c);
	check_plugins(&c);
	check_purpose(&c);
	return report->errors == errors ? ST_OK : ST_INVALID;
}

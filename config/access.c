// SPDX-License-Identifier: BSD-3-Clause
// The access lists of the configuration -> rules of prefixes -> the block that both processes look into.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/access.h>
#include <pollux/config.h>

#include "ip.h"

// Nobody has them in the public network: RFC 1918 3, RFC 6598 7, RFC 3927, RFC 1122 3.2.1.3, RFC 4193 3.1, RFC 4291 2.5.
static const char *const private_prefixes[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
	"169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128" };
#define PRIVATE_PREFIXES (sizeof(private_prefixes) / sizeof(private_prefixes[0]))

struct rules {
	struct access_rule *rule; // as many as there can be
	unsigned count;
};

static void add(struct rules *rules, const struct ip_prefix *prefix, bool denies)
{
	struct access_rule *rule = &rules->rule[rules->count++];
	*rule = (struct access_rule){ .address_bytes = (uint8_t)ip_bytes(prefix->family),
		.length = prefix->length,
		.denies = denies };
	memcpy(rule->address, prefix->bytes, sizeof(rule->address));
}

static void add_local(struct rules *rules, const struct config *config, bool denies)
{
	for (unsigned p = 0; p < config->port_count; p++) {
		for (unsigned a = 0; a < config->ports[p].address_count; a++) {
			if (config->ports[p].addresses[a].family)
				add(rules, &config->ports[p].addresses[a], denies);
		}
	}
	for (unsigned i = 0; i < PRIVATE_PREFIXES; i++) {
		struct ip_prefix prefix;
		if (!ip_read_prefix(&prefix, private_prefixes[i]))
			add(rules, &prefix, denies);
	}
}

static void add_item(struct rules *rules, const struct config *config, const struct access_item *item)
{
	static const struct ip_prefix all[] = { { .family = AF_INET }, { .family = AF_INET6 } };
	switch (item->word) {
	case ACCESS_PREFIX:
		add(rules, &item->prefix, item->denies);
		break;
	case ACCESS_ANY:
	case ACCESS_NONE:
		add(rules, &all[0], item->word == ACCESS_NONE);
		add(rules, &all[1], item->word == ACCESS_NONE);
		break;
	case ACCESS_LOCAL:
		add_local(rules, config, item->denies);
		break;
	}
}

static size_t rules_of(const struct config *config, const struct access_item *item)
{
	size_t count = PRIVATE_PREFIXES;
	if (item->word != ACCESS_LOCAL)
		return 2;
	for (unsigned p = 0; p < config->port_count; p++)
		count += config->ports[p].address_count;
	return count;
}

static bool make_list(struct access_list *list, const struct config *config, const struct access_item *items,
	unsigned count)
{
	size_t most = 1;
	for (unsigned i = 0; i < count; i++)
		most += rules_of(config, &items[i]);
	struct rules rules = { .rule = calloc(most, sizeof(*rules.rule)) };
	for (unsigned i = 0; rules.rule && i < count; i++)
		add_item(&rules, config, &items[i]);
	*list = (struct access_list){ rules.rule, rules.count };
	return rules.rule;
}

enum status config_access(const struct config *config, void **block, uint64_t *bytes)
{
	const struct access_terms terms = { .max_misses = config->client_max_misses, .drops = config->access_drops };
	struct access_list list[ACCESS_RIGHTS] = { 0 };
	enum status status = ST_NO_MEMORY;
	*block = NULL;
	if (make_list(&list[0], config, config->access_query, config->access_query_count) &&
		make_list(&list[1], config, config->access_recursion, config->access_recursion_count) &&
		make_list(&list[2], config, config->access_transfer, config->access_transfer_count))
		status = access_compile(list, &terms, block, bytes);
	for (unsigned i = 0; i < ACCESS_RIGHTS; i++)
		free((void *)list[i].rule);
	return status;
}

// SPDX-License-Identifier: BSD-3-Clause
// Any text is a file of rules: good lines become rules that compile to a sound block, bad ones messages. Then whatever is
// done to a block: its check refuses it, or every question can be answered from it within the asker's limit. The input is
// a text, a NUL, and changes of eight octets each: where, and to what.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/overrides.h>
#include <pollux/rrtype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"workstation7.example.", "n5.", "x.ads.example.", "ads.example.", "a.b.c.", "host3.rack4.dc.example.",
	"4.0.3.10.in-addr.arpa.", "alias.example.", "1234x.y.", "pool007.any.", ".",
};
enum { NAMES = sizeof(names) / sizeof(*names) };

static struct catalog *catalog;
static struct query query[NAMES];
static uint8_t wire[NAMES][64];

static void make_questions(void)
{
	static const uint8_t head[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 }, tail[] = { 0, 1, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0 };
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned bytes;
		enum rcode rcode;
		memcpy(wire[i], head, sizeof(head));
		if (name_from_text(wire[i] + 12, &bytes, names[i], strlen(names[i]), NULL) != ST_OK)
			abort();
		memcpy(wire[i] + 12 + bytes, tail, sizeof(tail));
		if (query_parse(&query[i], wire[i], 12 + bytes + sizeof(tail), catalog_seed(catalog), &rcode) != QUERY_VALID)
			abort();
	}
}

static void ask(const struct overrides *block)
{
	static const uint16_t types[] = { TYPE_A, TYPE_AAAA, TYPE_PTR, TYPE_TXT, TYPE_MX, TYPE_CNAME, TYPE_ANY };
	static const struct policy policy = { .udp_size = 1232, .has_chain = 1 };
	static uint8_t room[DNS_MAX_BYTES];
	for (unsigned i = 0; i < 2 * NAMES * sizeof(types) / sizeof(*types); i++) {
		struct query *q = &query[i / 2 % NAMES];
		enum transport transport = i % 2 ? OVER_TCP : OVER_UDP;
		struct override_hit hit;
		q->type = types[i / 2 / NAMES];
		if (!overrides_match(block, q, overrides_probe(block, &q->name), &hit) || hit.rule->action == OVERRIDE_DROP)
			continue;
		uint32_t limit = answer_limit(&policy, q, transport);
		uint8_t *exact = transport == OVER_UDP ? malloc(limit) : room;
		struct reply reply = { .wire = exact, .room = limit };
		if (!exact)
			abort();
		answer_override(catalog, &policy, q, block, &hit, transport, &reply);
		if (reply.bytes > limit)
			abort();
		if (transport == OVER_UDP)
			free(exact);
	}
}

static void *compile(const uint8_t *text, size_t bytes, uint64_t *block_bytes)
{
	struct report report = { .emit = NULL };
	struct override_rules *rules = override_rules_new();
	void *block = NULL;
	if (!rules || override_rules_read_text(rules, (const char *)text, bytes, "rules", &report) == ST_NO_MEMORY)
		abort();
	for (unsigned i = 0; i < override_rules_count(rules); i++) {
		struct override_info info;
		override_rules_info(rules, i, &info);
		if (!*info.name || !*info.answer || !info.line)
			abort();
	}
	enum status status = override_rules_compile(rules, catalog_seed(catalog), bytes % 2, &report, &block, block_bytes);
	if (status != ST_OK && status != ST_FULL)
		abort();
	override_rules_free(rules);
	return block;
}

// One octet, two, four, or eight copied from elsewhere.
static void change(uint8_t *block, uint64_t bytes, const uint8_t *how)
{
	uint32_t where = load_be32(how), what = load_be32(how + 4);
	uint64_t at = (where & 0x3fffffff) % bytes;
	switch (where >> 30) {
	case 0:
		block[at] = (uint8_t)what;
		break;
	case 1:
		memcpy(block + at / 2 * 2, &(uint16_t){ (uint16_t)what }, 2);
		break;
	case 2:
		memcpy(block + at / 4 * 4, &what, 4);
		break;
	default:
		memmove(block + at / 8 * 8, block + what % bytes / 8 * 8, 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!catalog) {
		if (catalog_open_private(&catalog, 7) != ST_OK)
			abort();
		make_questions();
	}
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t text = end ? (size_t)(end - data) : size;
	uint64_t bytes;
	void *block = compile(data, text, &bytes);
	if (!block)
		return 0;
	if (overrides_check(block, bytes, catalog_seed(catalog)) != ST_OK)
		abort();
	ask(block);
	for (size_t at = text + 1; at + 8 <= size; at += 8)
		change(block, bytes, data + at);
	if (overrides_check(block, bytes, catalog_seed(catalog)) == ST_OK)
		ask(block);
	free(block);
	return 0;
}

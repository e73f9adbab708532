// SPDX-License-Identifier: BSD-3-Clause
// Any reply of another server is read or refused. What was read and put together again reads back as the
// same records, and never takes more room than it was given.
#include <stdlib.h>
#include <string.h>

#include "client/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t question[] = "\3wWw\7eXample\3com\0\0\1\0\1";

static void must(bool good)
{
	if (!good)
		abort();
}

static unsigned section_count(const struct message *m, enum section section)
{
	return m->section_at[section + 1] - m->section_at[section];
}

// True when everything found room.
static bool put_together(
	struct composer *c, uint8_t *wire, size_t room, const struct message *m, unsigned *bytes)
{
	bool fits = true;
	must(composer_start(c, wire, room, m->id, m->flags, question, sizeof(question) - 1, m->edns));
	for (unsigned s = 0; s < SECTION_COUNT && fits; s++)
		fits = composer_add_all(c, (enum section)s, m->rr + m->section_at[s],
			section_count(m, (enum section)s), NULL, NULL);
	*bytes = composer_end(c, 1232, m->rcode, false);
	must(*bytes <= room);
	return fits;
}

static void must_be_same_rr(const struct message_rr *a, const struct message_rr *b)
{
	must(a->type == b->type && a->class == b->class && a->ttl == b->ttl);
	must(name_equal(a->owner, b->owner));
	must(a->rdata_bytes == b->rdata_bytes); // names in it may have another case, lengths may not differ
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct composer c;
	static uint8_t wire[DNS_MAX_BYTES];
	struct message m, again;
	unsigned bytes;
	uint8_t *exact = malloc(size ? size : 1); // so that a sanitizer sees a read outside
	must(exact);
	memcpy(exact, data, size);
	enum status status = message_read(&m, exact, size);
	free(exact);
	if (status != ST_OK)
		return 0;
	(void)put_together(&c, wire, DNS_UDP_PLAIN_BYTES, &m, &bytes);
	must(message_read(&again, wire, bytes) == ST_OK);
	must(again.section_at[SECTION_COUNT] <= m.section_at[SECTION_COUNT]);
	message_clear(&again);
	bool whole = put_together(&c, wire, sizeof(wire), &m, &bytes);
	must(message_read(&again, wire, bytes) == ST_OK);
	for (unsigned i = 0; i < again.section_at[SECTION_COUNT]; i++)
		must_be_same_rr(&again.rr[i], &m.rr[i]);
	must(!whole || again.section_at[SECTION_COUNT] == m.section_at[SECTION_COUNT]);
	must(again.edns == m.edns);
	message_clear(&again);
	message_clear(&m);
	return 0;
}

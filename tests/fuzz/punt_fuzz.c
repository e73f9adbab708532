// SPDX-License-Identifier: BSD-3-Clause
// Any frame on its way to the kernel's stack: its tags are found and given back to its sender, and a checksum
// that is said to be missing lies inside the frame.
#include <stdlib.h>
#include <string.h>

#include "partial.h"
#include "tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct partial partial;
	struct tag_choice back[TAG_CHOICES_MAX];
	struct tags *tags = tags_new();
	must(tags != NULL);
	unsigned count = tags_learn(tags, data, size);
	must(count % 4 == 0 && count <= TAGS_MAX_BYTES && (count == 0 || TAGS_AT + count + 2 <= size));
	if (partial_find(&partial, data, size)) {
		must(partial.start_at >= TAGS_AT + count + 2 + 20);
		must(partial.start_at + partial.field_at + 2 <= size);
	}
	unsigned given = tags_for(tags, data, size, back);
	must(given >= 1 && given <= TAG_CHOICES_MAX);
	for (unsigned i = 0; i < given; i++)
		must(back[i].bytes == 0 ||
			(back[i].bytes == count && memcmp(back[i].tags, data + TAGS_AT, count) == 0));
	tags_free(tags);
	return 0;
}

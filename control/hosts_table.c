// SPDX-License-Identifier: BSD-3-Clause
// Arrays and two hash tables of indexes into them, so that a million lines cost few allocations and are freed
// at once.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/name.h>

#include "hosts_table.h"

#define NONE UINT32_MAX
#define LINES_BETWEEN_LOOKS 4096 // at `interrupted`

struct host_name {
	uint32_t hash, wire_at;
	uint32_t first; // link
};

struct host {
	uint32_t hash, name; // the first name of its first line
	uint32_t file, line;
	uint8_t bytes[16];
	uint8_t length;
};

// A name has an address.
struct link {
	uint32_t host, next;
	uint32_t file, line;
};

struct array {
	void *items;
	uint32_t count, room;
};

// Open addressing; slots hold an index plus one.
struct index {
	uint32_t *slots;
	uint32_t mask;
};

struct hosts_table {
	uint64_t seed;
	struct array names, hosts, links, files;
	struct array wires; // octets
	struct index by_name, by_address;
};

static const struct host_name *name_at(const struct hosts_table *t, uint32_t i)
{
	return (const struct host_name *)t->names.items + i;
}

static const struct host *host_at(const struct hosts_table *t, uint32_t i)
{
	return (const struct host *)t->hosts.items + i;
}

static struct link *link_at(const struct hosts_table *t, uint32_t i)
{
	return (struct link *)t->links.items + i;
}

static const uint8_t *wire_of(const struct hosts_table *t, uint32_t name)
{
	return (const uint8_t *)t->wires.items + name_at(t, name)->wire_at;
}

static struct host_place place_of(const struct hosts_table *t, uint32_t file, uint32_t line)
{
	return (struct host_place){ ((char *const *)t->files.items)[file], line };
}

// Room for `more` items of that size behind those that are there; NULL: no memory.
static void *array_add(struct array *a, uint32_t more, size_t bytes)
{
	if (more > NONE - a->count)
		return NULL;
	if (a->count + more > a->room) {
		uint64_t room = (uint64_t)a->room * 2 + more + 16;
		room = room < NONE ? room : NONE;
		void *items = reallocarray(a->items, room, bytes);
		if (!items)
			return NULL;
		a->items = items;
		a->room = (uint32_t)room;
	}
	void *added = (char *)a->items + a->count * bytes;
	a->count += more;
	return added;
}

// A slot table for one item more than `count`, less than three quarters full. `hash_of` is asked for each
// item there is.
static bool index_grow(struct index *index, uint32_t count, const void *items, size_t bytes)
{
	uint64_t room = index->slots ? (uint64_t)index->mask + 1 : 0;
	if ((uint64_t)count * 4 < room * 3)
		return true;
	room = room ? room * 2 : 1024;
	uint32_t *slots = calloc(room, sizeof(*slots));
	if (!slots)
		return false;
	free(index->slots);
	index->slots = slots;
	index->mask = (uint32_t)(room - 1);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at;
		memcpy(&at, (const char *)items + i * bytes, sizeof(at)); // items start with their hash
		while (slots[at & index->mask])
			at++;
		slots[at & index->mask] = i + 1;
	}
	return true;
}

static void index_put(struct index *index, uint32_t hash, uint32_t item)
{
	while (index->slots[hash & index->mask])
		hash++;
	index->slots[hash & index->mask] = item + 1;
}

static uint32_t hash_address(const struct hosts_table *t, const uint8_t *bytes, unsigned length)
{
	uint64_t word[2] = { 0 };
	memcpy(word, bytes, length);
	return (uint32_t)(name_mix(name_mix(word[0] ^ t->seed, UINT64_C(0x9e3779b97f4a7c15)) ^ word[1],
				  UINT64_C(0xd6e8feb86659fd93) + length) >>
			  16);
}

static uint32_t hash_name(const struct folded_name *name)
{
	return (uint32_t)(name->hash[name->labels] >> 16);
}

static uint32_t find_name(const struct hosts_table *t, const struct folded_name *name)
{
	if (!t->by_name.slots)
		return NONE;
	uint32_t hash = hash_name(name), item;
	for (uint32_t at = hash; (item = t->by_name.slots[at & t->by_name.mask]); at++) {
		if (name_at(t, item - 1)->hash == hash &&
			memcmp(wire_of(t, item - 1), name->wire, name->bytes) == 0)
			return item - 1;
	}
	return NONE;
}

static uint32_t find_host(const struct hosts_table *t, const uint8_t *bytes, unsigned length)
{
	if (!t->by_address.slots)
		return NONE;
	uint32_t hash = hash_address(t, bytes, length), item;
	for (uint32_t at = hash; (item = t->by_address.slots[at & t->by_address.mask]); at++) {
		const struct host *host = host_at(t, item - 1);
		if (host->hash == hash && host->length == length && memcmp(host->bytes, bytes, length) == 0)
			return item - 1;
	}
	return NONE;
}

// --- reading ---

struct reading {
	struct hosts_table *table;
	struct report *report;
	const char *path; // the table's
	uint32_t file;
	unsigned line;
	char *start; // of the line
};

__attribute__((format(printf, 3, 4))) static void say(
	const struct reading *r, const char *at, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(r->report, SEVERITY_WARNING, r->path, r->line, at ? (unsigned)(at - r->start) + 1 : 0, "%s",
		text);
}

// A word of the file as it may stand in a log line: only printable ASCII, and not too much of it.
static const char *shown(char *to, size_t room, const char *word)
{
	size_t i = 0;
	for (; word[i] && i + 1 < room; i++)
		to[i] = word[i] > ' ' && word[i] < 0x7f ? word[i] : '?';
	to[i] = 0;
	return to;
}

static bool read_address(struct host *host, char *word)
{
	*host = (struct host){ .length = 4 };
	if (inet_pton(AF_INET, word, host->bytes) == 1)
		return true;
	// RFC 4007 11: a scope has a meaning on one machine only, so clients get the address without.
	char *scope = strchr(word, '%');
	if (scope && scope[1])
		*scope = 0;
	host->length = 16;
	bool good = inet_pton(AF_INET6, word, host->bytes) == 1;
	if (scope)
		*scope = '%';
	return good;
}

// Host names as operators write them: no escapes, no "@", not the root.
static bool read_name(struct folded_name *to, const char *word, uint64_t seed)
{
	static const uint8_t root[1] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	for (const char *c = word; *c; c++) {
		if (*c <= ' ' || *c >= 0x7f || strchr("\\\"();@$", *c))
			return false;
	}
	if (name_from_text(wire, &bytes, word, strlen(word), root) != ST_OK || bytes == 1)
		return false;
	name_prepare(to, wire, bytes, seed);
	return true;
}

static uint32_t add_name(struct hosts_table *t, const struct folded_name *name)
{
	uint32_t found = find_name(t, name);
	if (found != NONE)
		return found;
	if (!index_grow(&t->by_name, t->names.count, t->names.items, sizeof(struct host_name)))
		return NONE;
	uint8_t *wire = array_add(&t->wires, name->bytes, 1);
	struct host_name *added = wire ? array_add(&t->names, 1, sizeof(*added)) : NULL;
	if (!added)
		return NONE;
	memcpy(wire, name->wire, name->bytes);
	*added = (struct host_name){ hash_name(name), t->wires.count - name->bytes, NONE };
	index_put(&t->by_name, added->hash, t->names.count - 1);
	return t->names.count - 1;
}

static uint32_t add_host(struct reading *r, struct host *host, uint32_t name)
{
	struct hosts_table *t = r->table;
	uint32_t found = find_host(t, host->bytes, host->length);
	if (found != NONE)
		return found;
	if (!index_grow(&t->by_address, t->hosts.count, t->hosts.items, sizeof(struct host)))
		return NONE;
	struct host *added = array_add(&t->hosts, 1, sizeof(*added));
	if (!added)
		return NONE;
	host->hash = hash_address(t, host->bytes, host->length);
	host->name = name;
	host->file = r->file;
	host->line = r->line;
	*added = *host;
	index_put(&t->by_address, added->hash, t->hosts.count - 1);
	return t->hosts.count - 1;
}

// False: no memory.
static bool add_link(struct reading *r, uint32_t name, uint32_t host, const char *word)
{
	struct hosts_table *t = r->table;
	uint32_t last = NONE;
	unsigned count = 0;
	for (uint32_t i = name_at(t, name)->first; i != NONE; i = link_at(t, i)->next, count++) {
		if (link_at(t, i)->host == host)
			return true;
		last = i;
	}
	if (count == HOST_ADDRESSES_MAX) {
		say(r, word, "'%s' has %u addresses already", word, HOST_ADDRESSES_MAX);
		return true;
	}
	struct link *added = array_add(&t->links, 1, sizeof(*added));
	if (!added)
		return false;
	*added = (struct link){ host, NONE, r->file, r->line };
	if (last != NONE)
		link_at(t, last)->next = t->links.count - 1;
	else
		((struct host_name *)t->names.items)[name].first = t->links.count - 1;
	return true;
}

static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t\r\n\v\f");
	if (!*word)
		return NULL;
	char *end = word + strcspn(word, " \t\r\n\v\f");
	*rest = *end ? end + 1 : end;
	*end = 0;
	return word;
}

// False: no memory.
static bool read_line(struct reading *r)
{
	char text[64], *rest = r->start, *word;
	struct host host;
	uint32_t host_index = NONE;
	unsigned names = 0;
	rest[strcspn(rest, "#")] = 0;
	char *address = next_word(&rest);
	if (!address)
		return true;
	if (!read_address(&host, address)) {
		say(r, address, "'%s' is not an address", shown(text, sizeof(text), address));
		return true;
	}
	for (; (word = next_word(&rest)); names++) {
		struct folded_name name;
		if (!read_name(&name, word, r->table->seed)) {
			say(r, word, "'%s' is not a host name", shown(text, sizeof(text), word));
			continue;
		}
		uint32_t name_index = add_name(r->table, &name);
		if (name_index == NONE)
			return false;
		if (host_index == NONE)
			host_index = add_host(r, &host, name_index);
		if (host_index == NONE || !add_link(r, name_index, host_index, word))
			return false;
	}
	if (!names)
		say(r, address, "'%s' has no name", shown(text, sizeof(text), address));
	return true;
}

static enum status read_lines(struct reading *r, FILE *file, const _Atomic bool *interrupted)
{
	size_t room = 0;
	ssize_t bytes;
	enum status status = ST_OK;
	while (status == ST_OK && (bytes = getline(&r->start, &room, file)) >= 0) {
		r->line++;
		if (strlen(r->start) != (size_t)bytes)
			say(r, NULL, "the line holds a NUL");
		else if (!read_line(r))
			status = ST_NO_MEMORY;
		if (r->line % LINES_BETWEEN_LOOKS == 0 && interrupted && *interrupted)
			status = ST_CANCELLED;
	}
	if (status == ST_OK && ferror(file)) {
		report_at(r->report, SEVERITY_WARNING, r->path, r->line, 0, "cannot be read: %s",
			strerror(errno));
		status = ST_SYSTEM;
	}
	free(r->start);
	return status;
}

// A pipe or a device would keep the reader waiting for ever, or feed it for ever.
static FILE *open_regular(const char *path)
{
	struct stat st = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fdopen(fd, "r");
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	int why = errno;
	close(fd);
	errno = why;
	return NULL;
}

enum status hosts_table_read(
	struct hosts_table *t, const char *path, struct report *report, const _Atomic bool *interrupted)
{
	char *own_path = strdup(path), **kept = own_path ? array_add(&t->files, 1, sizeof(*kept)) : NULL;
	if (!kept) {
		free(own_path);
		return ST_NO_MEMORY;
	}
	*kept = own_path;
	struct reading r = { .table = t, .report = report, .path = own_path, .file = t->files.count - 1 };
	FILE *file = open_regular(path);
	if (!file) {
		int why = errno;
		report_at(report, SEVERITY_WARNING, path, 0, 0, "cannot be read: %s",
			why == EINVAL ? "not a regular file" : strerror(why));
		return why == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
	}
	enum status status = read_lines(&r, file, interrupted);
	fclose(file);
	return status;
}

// --- the table as a whole ---

struct hosts_table *hosts_table_new(uint64_t seed)
{
	struct hosts_table *t = calloc(1, sizeof(*t));
	if (t)
		t->seed = seed;
	return t;
}

void hosts_table_free(struct hosts_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->files.count; i++)
		free(((char **)t->files.items)[i]);
	free(t->files.items);
	free(t->names.items);
	free(t->hosts.items);
	free(t->links.items);
	free(t->wires.items);
	free(t->by_name.slots);
	free(t->by_address.slots);
	free(t);
}

unsigned hosts_table_names(const struct hosts_table *t)
{
	return t->names.count;
}

unsigned hosts_table_addresses(const struct hosts_table *t)
{
	return t->hosts.count;
}

unsigned hosts_table_find(const struct hosts_table *t, const uint8_t *name, struct host_address *to)
{
	struct folded_name folded;
	unsigned count = 0;
	name_prepare(&folded, name, name_length(name, NAME_MAX_BYTES), t->seed);
	uint32_t found = find_name(t, &folded);
	if (found == NONE)
		return 0;
	for (uint32_t i = name_at(t, found)->first; i != NONE; i = link_at(t, i)->next, count++) {
		const struct host *host = host_at(t, link_at(t, i)->host);
		memcpy(to[count].bytes, host->bytes, sizeof(host->bytes));
		to[count].length = host->length;
		to[count].place = place_of(t, link_at(t, i)->file, link_at(t, i)->line);
	}
	return count;
}

const uint8_t *hosts_table_name_of(
	const struct hosts_table *t, const uint8_t *address, unsigned length, struct host_place *place)
{
	uint32_t found = find_host(t, address, length);
	if (found == NONE)
		return NULL;
	*place = place_of(t, host_at(t, found)->file, host_at(t, found)->line);
	return wire_of(t, host_at(t, found)->name);
}

// SPDX-License-Identifier: BSD-3-Clause
// The kinds of values: text to member, member to text.
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "ip.h"
#include "schema.h"

__attribute__((format(printf, 3, 4))) static bool say(char *problem, size_t room, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(problem, room, format, args);
	va_end(args);
	return false;
}

__attribute__((format(printf, 1, 2))) static char *new_text(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

// Texts

static bool keep_text(void *to, char *text, char *problem, size_t room)
{
	if (!text)
		return say(problem, room, "out of memory");
	free(*(char **)to);
	*(char **)to = text;
	return true;
}

static bool length_is_right(const char *text, const struct where *where, char *problem, size_t room)
{
	size_t bytes = strlen(text);
	if (bytes >= (size_t)where->info->min && bytes <= (size_t)where->info->max)
		return true;
	if (bytes == 0)
		return say(problem, room, "must not be empty");
	return say(problem, room, "is %zu octets long, at most %" PRId64 " are allowed", bytes,
		where->info->max);
}

static bool read_text(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	if (!length_is_right(text, where, problem, room))
		return false;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return say(problem, room, "must not hold control characters");
	return keep_text(to, strdup(text), problem, room);
}

static bool read_name(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return say(problem, room,
				"may only hold letters, digits, - and _: it becomes part of file names");
	return read_text(to, text, where, problem, room);
}

static bool read_path(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	char *whole = NULL;
	if (!length_is_right(text, where, problem, room))
		return false;
	if (text[0] == '/')
		return read_text(to, text, where, problem, room);
	whole = new_text("%s%s", where->directory, text);
	bool good = whole ? read_text(to, whole, where, problem, room) : say(problem, room, "out of memory");
	free(whole);
	return good;
}

static bool read_path_or_auto(
	void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	if (strcmp(text, "auto") == 0)
		return read_text(to, text, where, problem, room);
	return read_path(to, text, where, problem, room);
}

static char *print_text(const void *from, const struct option_info *info)
{
	(void)info;
	return strdup(*(char *const *)from);
}

static bool equal_text(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	return x == y || (x && y && strcmp(x, y) == 0);
}

static void free_text(void *member)
{
	free(*(void **)member);
	*(void **)member = NULL;
}

// Words: the unit column holds them, divided by |

// Index of `text` in "one|two|three"; -1: not among them.
static int word_index(const char *words, const char *text)
{
	size_t bytes = strlen(text);
	for (int index = 0;; index++) {
		size_t length = strcspn(words, "|");
		if (length == bytes && memcmp(words, text, length) == 0)
			return index;
		if (!words[length])
			return -1;
		words += length + 1;
	}
}

static char *word_at(const char *words, int index)
{
	while (index-- > 0)
		words += strcspn(words, "|") + 1;
	return strndup(words, strcspn(words, "|"));
}

// "a|b|c" -> "a, b or c"
static void list_words(const char *words, char *to, size_t room)
{
	size_t at = 0;
	for (const char *c = words; *c && at + 8 < room; c++) {
		if (*c != '|')
			to[at++] = *c;
		else
			at += (size_t)snprintf(to + at, room - at, "%s", strchr(c + 1, '|') ? ", " : " or ");
	}
	to[at] = 0;
}

static bool refuse_word(const char *words, char *problem, size_t room)
{
	char list[128];
	list_words(words, list, sizeof(list));
	return say(problem, room, "is not %s", list);
}

static bool read_word(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	if (word_index(where->info->unit, text) < 0)
		return refuse_word(where->info->unit, problem, room);
	return keep_text(to, strdup(text), problem, room);
}

static bool read_choice(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	int index = word_index(where->info->unit, text);
	if (index < 0)
		return refuse_word(where->info->unit, problem, room);
	*(int *)to = index;
	return true;
}

static char *print_choice(const void *from, const struct option_info *info)
{
	return word_at(info->unit, *(const int *)from);
}

static bool read_flag(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	int index = word_index(where->info->unit, text);
	if (index < 0)
		return refuse_word(where->info->unit, problem, room);
	*(bool *)to = index == 1;
	return true;
}

static char *print_flag(const void *from, const struct option_info *info)
{
	return word_at(info->unit, *(const bool *)from);
}

static bool equal_flag(const void *a, const void *b)
{
	return *(const bool *)a == *(const bool *)b;
}

// Numbers with and without units

struct unit {
	const char *name;
	int64_t factor;
};
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit octet_units[] = { { "", 1 }, { "B", 1 }, { "K", 1 << 10 }, { "k", 1 << 10 },
	{ "M", 1 << 20 }, { "G", 1 << 30 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 } };
static const struct unit second_units[] = { { "", 1000000 }, { "us", 1 }, { "ms", 1000 }, { "s", 1000000 },
	{ "m", 60000000 }, { "min", 60000000 },
	{ "h", INT64_C(3600000000) }, { "d", INT64_C(86400000000) }, { NULL, 0 } };
static const struct unit time_units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 },
	{ "min", 60000000 }, { "h", INT64_C(3600000000) }, { "d", INT64_C(86400000000) }, { NULL, 0 } };

static const struct unit ttl_units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 },
	{ NULL, 0 } };

enum number_result { NUMBER_GOOD, NUMBER_FOREIGN, NUMBER_NO_UNIT, NUMBER_HUGE };

static enum number_result scan_number(int64_t *value, const char *text, const struct unit *units)
{
	int64_t number = 0;
	const char *c = text;
	for (; isdigit((unsigned char)*c); c++) {
		if (c - text >= 12)
			return NUMBER_HUGE;
		number = number * 10 + (*c - '0');
	}
	if (c == text)
		return NUMBER_FOREIGN;
	while (*c == ' ')
		c++;
	if (!*c && number == 0) {
		*value = 0;
		return NUMBER_GOOD;
	}
	for (const struct unit *unit = units; unit->name; unit++) {
		if (strcmp(unit->name, c) == 0)
			return __builtin_mul_overflow(number, unit->factor, value) ? NUMBER_HUGE
										   : NUMBER_GOOD;
	}
	return *c ? NUMBER_FOREIGN : NUMBER_NO_UNIT;
}

static char *print_duration(int64_t us)
{
	if (us == 0)
		return strdup("0");
	if (us % INT64_C(86400000000) == 0)
		return new_text("%" PRId64 "d", us / INT64_C(86400000000));
	if (us % 1000000 == 0)
		return new_text("%" PRId64 "s", us / 1000000);
	if (us % 1000 == 0)
		return new_text("%" PRId64 "ms", us / 1000);
	return new_text("%" PRId64 "us", us);
}

static void print_range(const struct option_info *info, int64_t us, char *to, size_t room)
{
	if (us == 0) {
		snprintf(to, room, "%" PRId64 " to %" PRId64 "%s%s", info->min, info->max,
			*info->unit ? " " : "", info->unit);
		return;
	}
	char *min = print_duration(info->min * us), *max = print_duration(info->max * us);
	snprintf(to, room, "%s to %s", min ? min : "?", max ? max : "?");
	free(min);
	free(max);
}

void option_range_text(const struct option_info *info, char *to, size_t room)
{
	to[0] = 0;
	if (strchr(info->unit, '|'))
		list_words(info->unit, to, room);
	else if (info->max > 0)
		print_range(info,
			strcmp(info->unit, "us") == 0	? 1
			: strcmp(info->unit, "ms") == 0 ? 1000
			: strcmp(info->unit, "s") == 0	? 1000000
							: 0,
			to, room);
}

static bool out_of_range(const struct option_info *info, char *problem, size_t room)
{
	char range[128];
	option_range_text(info, range, sizeof(range));
	return say(problem, room, "is out of range: %s", range);
}

// A problem left empty asks for "expected ..., found ...".
static bool read_number(unsigned *to, const char *text, const struct where *where, const struct unit *units,
	int64_t resolution, char *problem, size_t room)
{
	int64_t value = 0;
	switch (scan_number(&value, text, units)) {
	case NUMBER_FOREIGN:
		return say(problem, room, "%s", "");
	case NUMBER_NO_UNIT:
		return say(problem, room, "lacks its unit: us, ms, s, m, h or d");
	case NUMBER_HUGE:
		return out_of_range(where->info, problem, room);
	case NUMBER_GOOD:
		break;
	}
	if (value % resolution != 0)
		return say(problem, room, "is not a whole number of %s", resolution == 1000 ? "milliseconds" : "seconds");
	value /= resolution;
	if (value < where->info->min || value > where->info->max)
		return out_of_range(where->info, problem, room);
	*to = (unsigned)value;
	return true;
}

static bool read_count(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, no_units, 1, problem, room);
}

static bool read_octets(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, octet_units, 1, problem, room);
}

static bool read_size(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	int64_t value = 0;
	enum number_result result = scan_number(&value, text, octet_units);
	if (result != NUMBER_GOOD && result != NUMBER_HUGE)
		return say(problem, room, "%s", "");
	if (result == NUMBER_HUGE || value < where->info->min || value > where->info->max)
		return out_of_range(where->info, problem, room);
	*(uint64_t *)to = (uint64_t)value;
	return true;
}

static bool read_us(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, time_units, 1, problem, room);
}

static bool read_ms(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, time_units, 1000, problem, room);
}

static bool read_seconds(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, second_units, 1000000, problem, room);
}

// A bare number is good here, as in master files.
static bool read_ttl(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	return read_number(to, text, where, ttl_units, 1, problem, room);
}

static char *print_count(const void *from, const struct option_info *info)
{
	(void)info;
	return new_text("%u", *(const unsigned *)from);
}

static char *print_size(const void *from, const struct option_info *info)
{
	(void)info;
	uint64_t bytes = *(const uint64_t *)from;
	unsigned shift = bytes % (1 << 30) == 0 ? 30 : bytes % (1 << 20) == 0 ? 20 : bytes % (1 << 10) == 0 ? 10 : 0;
	return new_text("%" PRIu64 "%s", bytes >> shift, shift == 30 ? "GiB" : shift == 20 ? "MiB" : shift ? "KiB" : "");
}

static char *print_us(const void *from, const struct option_info *info)
{
	(void)info;
	return print_duration(*(const unsigned *)from);
}

static char *print_ms(const void *from, const struct option_info *info)
{
	(void)info;
	return print_duration(*(const unsigned *)from * INT64_C(1000));
}

static char *print_seconds(const void *from, const struct option_info *info)
{
	(void)info;
	return print_duration(*(const unsigned *)from * INT64_C(1000000));
}

static bool equal_count(const void *a, const void *b)
{
	return *(const unsigned *)a == *(const unsigned *)b;
}

static bool equal_size(const void *a, const void *b)
{
	return *(const uint64_t *)a == *(const uint64_t *)b;
}

// Addresses

static bool read_prefix(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	struct ip_prefix prefix;
	const char *wrong = ip_read_prefix(&prefix, text);
	if (wrong)
		return say(problem, room, "%s", wrong);
	if (!strchr(text, '/'))
		return say(problem, room, "lacks the prefix length of its link, such as %s/%s", text,
			prefix.family == AF_INET ? "24" : "64");
	if (ip_is_no_host(prefix.family, prefix.bytes) || ip_is_loopback(prefix.family, prefix.bytes))
		return say(problem, room, "cannot be a service address");
	*(struct ip_prefix *)to = prefix;
	return true;
}

static bool read_endpoint_or(
	void *to, const char *text, unsigned default_port, char *problem, size_t room)
{
	struct ip_endpoint endpoint;
	const char *wrong = ip_read_endpoint(&endpoint, text, default_port);
	if (wrong)
		return say(problem, room, "%s", wrong);
	if (ip_is_no_host(endpoint.family, endpoint.bytes))
		return say(problem, room, "cannot be the address of a server");
	if (endpoint.family == AF_INET6 && ip_is_link_local(endpoint.family, endpoint.bytes))
		return say(problem, room, "is link-local: it names nobody without an interface");
	*(struct ip_endpoint *)to = endpoint;
	return true;
}

static bool read_endpoint(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	return read_endpoint_or(to, text, 53, problem, room);
}

// Port 0 until the protocol is known.
static bool read_server(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	return read_endpoint_or(to, text, 0, problem, room);
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
#define PIN_TEXT_BYTES 44 // 32 octets: 43 digits and a "="

static bool read_pin(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	struct tls_pin pin;
	(void)where;
	if (strlen(text) != PIN_TEXT_BYTES || text[PIN_TEXT_BYTES - 1] != '=')
		return say(problem, room, "is not a SHA-256 in base64: %u characters, the last one =", PIN_TEXT_BYTES);
	uint32_t bits = 0;
	for (unsigned i = 0, have = 0, bytes = 0; i < PIN_TEXT_BYTES - 1; i++) {
		const char *digit = strchr(base64_digits, text[i]);
		if (!digit)
			return say(problem, room, "is not base64: '%c' is no digit of it", text[i]);
		bits = bits << 6 | (uint32_t)(digit - base64_digits);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		pin.sha256[bytes++] = (uint8_t)(bits >> have);
	}
	*(struct tls_pin *)to = pin;
	return true;
}

static char *print_pin(const void *from, const struct option_info *info)
{
	const uint8_t *byte = ((const struct tls_pin *)from)->sha256;
	char text[PIN_TEXT_BYTES + 1];
	(void)info;
	for (unsigned i = 0; i < PIN_TEXT_BYTES - 1; i++) {
		unsigned at = i * 6 / 8, skip = i * 6 % 8;
		unsigned pair = (unsigned)byte[at] << 8 | (at + 1 < sizeof(struct tls_pin) ? byte[at + 1] : 0u);
		text[i] = base64_digits[pair >> (10 - skip) & 63];
	}
	text[PIN_TEXT_BYTES - 1] = '=';
	text[PIN_TEXT_BYTES] = 0;
	return strdup(text);
}

static bool equal_pin(const void *a, const void *b)
{
	return !memcmp(a, b, sizeof(struct tls_pin));
}

static bool read_router(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	struct ip_endpoint router = { .port = 0 };
	const char *wrong = ip_read_address(&router.family, router.bytes, text);
	if (wrong)
		return say(problem, room, "%s", wrong);
	if (ip_is_no_host(router.family, router.bytes) || ip_is_loopback(router.family, router.bytes))
		return say(problem, room, "cannot be the address of a router");
	*(struct ip_endpoint *)to = router;
	return true;
}

static char *print_prefix(const void *from, const struct option_info *info)
{
	(void)info;
	char text[IP_TEXT_BYTES];
	ip_print_prefix(from, text, sizeof(text));
	return strdup(text);
}

static char *print_endpoint(const void *from, const struct option_info *info)
{
	(void)info;
	char text[IP_TEXT_BYTES];
	ip_print_endpoint(from, 53, text, sizeof(text));
	return strdup(text);
}

static char *print_router(const void *from, const struct option_info *info)
{
	(void)info;
	char text[IP_TEXT_BYTES];
	ip_print_endpoint(from, 0, text, sizeof(text));
	return strdup(text);
}

static bool equal_prefix(const void *a, const void *b)
{
	const struct ip_prefix *x = a, *y = b;
	return ip_same(x->family, x->bytes, y->family, y->bytes) && x->length == y->length;
}

static bool equal_endpoint(const void *a, const void *b)
{
	const struct ip_endpoint *x = a, *y = b;
	return ip_same(x->family, x->bytes, y->family, y->bytes) && x->port == y->port;
}

// Clients: prefixes, and words that stand for some

static const char *const access_words[] = { [ACCESS_PREFIX] = "", [ACCESS_ANY] = "any", [ACCESS_NONE] = "none",
	[ACCESS_LOCAL] = "local" };

static bool read_access_word(struct access_item *item, const char *text)
{
	for (unsigned i = ACCESS_ANY; i <= ACCESS_LOCAL; i++) {
		if (strcmp(text, access_words[i]) == 0)
			item->word = i;
	}
	return item->word != ACCESS_PREFIX;
}

static bool read_clients(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	struct access_item item = { .denies = text[0] == '!' };
	text += item.denies;
	if (read_access_word(&item, text)) {
		if (item.denies && item.word != ACCESS_LOCAL)
			return say(problem, room, "means %s: write that", item.word == ACCESS_ANY ? "none" : "any");
		*(struct access_item *)to = item;
		return true;
	}
	if (!strpbrk(text, ".:"))
		return say(problem, room, "%s", "");
	const char *wrong = ip_read_prefix(&item.prefix, text);
	if (wrong)
		return say(problem, room, "%s", wrong);
	struct ip_prefix whole = item.prefix;
	ip_clear_host_bits(&whole);
	if (memcmp(whole.bytes, item.prefix.bytes, sizeof(whole.bytes)) != 0) {
		char meant[IP_TEXT_BYTES];
		ip_print_prefix(&whole, meant, sizeof(meant));
		return say(problem, room, "has bits behind its prefix length: write %s, or the address alone", meant);
	}
	*(struct access_item *)to = item;
	return true;
}

static char *print_clients(const void *from, const struct option_info *info)
{
	(void)info;
	const struct access_item *item = from;
	char text[IP_TEXT_BYTES];
	const char *sign = item->denies ? "!" : "";
	if (item->word != ACCESS_PREFIX)
		return new_text("%s%s", sign, access_words[item->word]);
	ip_print_prefix(&item->prefix, text, sizeof(text));
	return new_text("%s%s", sign, text);
}

static bool equal_clients(const void *a, const void *b)
{
	const struct access_item *x = a, *y = b;
	return x->denies == y->denies && x->word == y->word &&
		(x->word != ACCESS_PREFIX || equal_prefix(&x->prefix, &y->prefix));
}

// Peers of the control socket

static bool read_peer(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	if (strpbrk(text, " \t:/") || !text[text[0] == '@'])
		return say(problem, room, "%s", "");
	return read_text(to, text, where, problem, room);
}

// Domain names

static bool read_apex(void *to, const char *text, const struct where *where, char *problem, size_t room)
{
	(void)where;
	static const uint8_t root[1] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	if (!*text || strcmp(text, "@") == 0 ||
		name_from_text(wire, &bytes, text, strlen(text), root) != ST_OK)
		return say(problem, room, "%s", "");
	uint8_t *apex = malloc(bytes);
	if (!apex)
		return say(problem, room, "out of memory");
	name_fold(apex, wire);
	free(*(void **)to);
	*(uint8_t **)to = apex;
	return true;
}

static char *print_apex(const void *from, const struct option_info *info)
{
	(void)info;
	char text[NAME_TEXT_BYTES];
	return strdup(name_to_text(text, *(uint8_t *const *)from));
}

static bool equal_apex(const void *a, const void *b)
{
	const uint8_t *x = *(uint8_t *const *)a, *y = *(uint8_t *const *)b;
	return x == y || (x && y && name_equal(x, y));
}

const struct kind kinds[KIND_COUNT_OF] = {
	[KIND_NAME] = { "a name of letters, digits, - and _", sizeof(char *), read_name, print_text,
		equal_text, free_text },
	[KIND_TEXT] = { "a text", sizeof(char *), read_text, print_text, equal_text, free_text },
	[KIND_PATH] = { "a path", sizeof(char *), read_path, print_text, equal_text, free_text },
	[KIND_PATH_OR_AUTO] = { "a path or auto", sizeof(char *), read_path_or_auto, print_text, equal_text,
		free_text },
	[KIND_WORD] = { "a word", sizeof(char *), read_word, print_text, equal_text, free_text },
	[KIND_CHOICE] = { "a word", sizeof(int), read_choice, print_choice, equal_count, NULL },
	[KIND_FLAG] = { "a word", sizeof(bool), read_flag, print_flag, equal_flag, NULL },
	[KIND_COUNT] = { "a whole number", sizeof(unsigned), read_count, print_count, equal_count, NULL },
	[KIND_LCORE] = { "a core such as 2 or a range such as 2-5", sizeof(unsigned), read_count, print_count,
		equal_count, NULL },
	[KIND_OCTETS] = { "a size such as 1232 or 4k", sizeof(unsigned), read_octets, print_count,
		equal_count, NULL },
	[KIND_SIZE] = { "a size such as 64MiB", sizeof(uint64_t), read_size, print_size, equal_size, NULL },
	[KIND_DURATION_US] = { "a duration such as 100us", sizeof(unsigned), read_us, print_us, equal_count,
		NULL },
	[KIND_DURATION_MS] = { "a duration such as 400ms or 2s", sizeof(unsigned), read_ms, print_ms,
		equal_count, NULL },
	[KIND_SECONDS] = { "a duration such as 30s, 1h or 1d", sizeof(unsigned), read_seconds, print_seconds,
		equal_count, NULL },
	[KIND_TTL] = { "a TTL such as 300 or 1h", sizeof(unsigned), read_ttl, print_count, equal_count, NULL },
	[KIND_PREFIX] = { "an address with its prefix length such as 198.18.0.53/24",
		sizeof(struct ip_prefix), read_prefix, print_prefix, equal_prefix, NULL },
	[KIND_ENDPOINT] = { "an address such as 198.18.0.1 or 2001:db8::1@5300", sizeof(struct ip_endpoint),
		read_endpoint, print_endpoint, equal_endpoint, NULL },
	[KIND_SERVER] = { "an address such as 198.18.0.1 or 2001:db8::1@5300", sizeof(struct ip_endpoint),
		read_server, print_endpoint, equal_endpoint, NULL },
	[KIND_PIN] = { "a SHA-256 in base64", sizeof(struct tls_pin), read_pin, print_pin, equal_pin, NULL },
	[KIND_ROUTER] = { "an address such as 198.18.0.1", sizeof(struct ip_endpoint), read_router,
		print_router, equal_endpoint, NULL },
	[KIND_CLIENTS] = { "an address, a prefix such as 198.18.0.0/24, any, none or local, perhaps behind a !",
		sizeof(struct access_item), read_clients, print_clients, equal_clients, NULL },
	[KIND_PEER] = { "a user, or a group behind an @", sizeof(char *), read_peer, print_text, equal_text, free_text },
	[KIND_APEX] = { "a domain name", sizeof(uint8_t *), read_apex, print_apex, equal_apex, free_text },
};

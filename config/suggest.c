// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "schema.h"
#include "suggest.h"

#define KEY_MAX 40 // longer words resemble no key of ours

static int letter(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned suggest_distance(const char *a, const char *b)
{
	unsigned row[3][KEY_MAX + 1]; // the last two rows of the matrix and the one being made
	size_t m = strlen(a), n = strlen(b);
	if (m > KEY_MAX || n > KEY_MAX)
		return KEY_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[0][j] = j;
	for (unsigned i = 1; i <= m; i++) {
		unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
		now[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned other = letter(a[i - 1]) != letter(b[j - 1]);
			now[j] = least(before[j - 1] + other, least(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) &&
				letter(a[i - 2]) == letter(b[j - 1]))
				now[j] = least(now[j], earlier[j - 2] + 1);
		}
	}
	return row[m % 3][n];
}

// The part of a table key that stands at this level below `prefix`; false: another level.
static bool key_at_level(const char *key, const char *prefix, char *to)
{
	size_t skip = strlen(prefix);
	if (strncmp(key, prefix, skip) != 0)
		return false;
	size_t bytes = strcspn(key + skip, ".[");
	memcpy(to, key + skip, bytes);
	to[bytes] = 0;
	return true;
}

// The key that resembles this one most, in at least two thirds of its letters.
static bool nearest_key(const char *prefix, const char *key, char best[KEY_MAX + 1])
{
	unsigned limit = (unsigned)strlen(key) / 3, best_distance = (limit ? limit : 1) + 1;
	best[0] = 0;
	for (unsigned i = 0; i < option_count; i++) {
		char candidate[KEY_MAX + 1];
		if (!key_at_level(option_info[i].key, prefix, candidate))
			continue;
		unsigned distance = suggest_distance(key, candidate);
		if (distance < best_distance) {
			best_distance = distance;
			memcpy(best, candidate, strlen(candidate) + 1);
		}
	}
	return best[0] != 0;
}

// The option of another level whose last part is this key.
static const char *key_elsewhere(const char *key)
{
	for (unsigned i = 0; i < option_count; i++) {
		const char *dot = strrchr(option_info[i].key, '.');
		if (suggest_distance(key, dot ? dot + 1 : option_info[i].key) == 0)
			return option_info[i].key;
	}
	return NULL;
}

bool suggest_key(const char *prefix, const char *key, char *hint, size_t room)
{
	char best[KEY_MAX + 1];
	const char *elsewhere = key_elsewhere(key);
	if (nearest_key(prefix, key, best))
		snprintf(hint, room, "did you mean '%s'?", best);
	else if (elsewhere && strchr(elsewhere, '.'))
		snprintf(hint, room, "it belongs into '%.*s'", (int)strcspn(elsewhere, ".["), elsewhere);
	else if (elsewhere)
		snprintf(hint, room, "it belongs to the top of the file");
	else
		return false;
	return true;
}

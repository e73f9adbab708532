// SPDX-License-Identifier: BSD-3-Clause
// What a look-up among rules costs: overrides_bench [RULES...]; 0, 1, 1000 and 100000 without. Half the rules are names,
// half suffixes, one is a pattern. Names are asked in bursts, as workers do: prefetched, then looked up.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/overrides.h>
#include <pollux/rrtype.h>

enum { SEED = 53, NAMES = 1 << 16, BURST = 32, ROUNDS = 7, PASSES = 20 };

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "overrides_bench: %s\n", what);
	exit(1);
}

static struct overrides *make(unsigned rules, double *read_ms, double *compile_ms, uint64_t *bytes)
{
	char *text = NULL;
	size_t text_bytes;
	FILE *to = open_memstream(&text, &text_bytes);
	struct report report = { .emit = report_to_stream };
	struct override_rules *made = override_rules_new();
	void *block;
	if (!to || !made)
		fail("no memory");
	for (unsigned i = 0; i < rules; i++) {
		if (i == 0)
			fputs("workstation<N> A 172.0.2.<N>\n", to);
		else
			fprintf(to, i % 2 ? "www%u.example A 192.0.2.1\n" : "*.ads%u.example nxdomain\n", i);
	}
	fclose(to);
	double began = now_ns();
	if (override_rules_read_text(made, text, text_bytes, "rules", &report) != ST_OK)
		fail("bad rules");
	double between = now_ns();
	if (override_rules_compile(made, SEED, false, &report, &block, bytes) != ST_OK)
		fail("cannot compile");
	*compile_ms = (now_ns() - between) / 1e6;
	*read_ms = (between - began) / 1e6;
	override_rules_free(made);
	free(text);
	return block;
}

static struct folded_name *make_names(const char *format, unsigned below)
{
	struct folded_name *names = calloc(NAMES, sizeof(*names));
	for (unsigned i = 0; format && names && i < NAMES; i++) { // the sanitizers' compiler believes in a format that is none
		char text[64];
		uint8_t wire[NAME_MAX_BYTES];
		unsigned bytes;
		snprintf(text, sizeof(text), format, (unsigned)((uint64_t)i * 2654435761u % (below ? below : 1)));
		if (name_from_text(wire, &bytes, text, strlen(text), NULL) != ST_OK)
			fail("bad name");
		name_prepare(&names[i], wire, bytes, SEED);
	}
	if (!names)
		fail("no memory");
	return names;
}

// The best of the rounds: others on the machine only make it slower.
static double measure(const struct overrides *rules, const struct folded_name *names, unsigned *hits)
{
	double best = 1e9;
	struct override_hit hit;
	for (unsigned round = 0; round < ROUNDS; round++) {
		double began = now_ns();
		*hits = 0;
		for (unsigned pass = 0; pass < PASSES; pass++) {
			for (unsigned i = 0; i < NAMES; i += BURST) {
				for (unsigned k = 0; k < BURST; k++)
					overrides_prefetch(rules, &names[i + k]);
				for (unsigned k = 0; k < BURST; k++)
					*hits += overrides_find(rules, &names[i + k], TYPE_A, &hit);
			}
		}
		double each = (now_ns() - began) / PASSES / NAMES;
		best = each < best ? each : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const unsigned usual[] = { 0, 1, 1000, 100000 };
	static const struct {
		const char *title, *format;
	} kinds[] = { { "no rule, no digits", "mail.example.com." }, { "no rule", "host%u.example.com." }, { "a name", "www%u.example." },
		{ "a suffix", "a.ads%u.example." }, { "a pattern", "workstation%u.example." } };
	for (int n = 0; n < (argc > 1 ? argc - 1 : 4); n++) {
		unsigned rules = argc > 1 ? (unsigned)strtoul(argv[n + 1], NULL, 10) : usual[n];
		double read_ms, compile_ms;
		uint64_t bytes;
		struct overrides *block = make(rules, &read_ms, &compile_ms, &bytes);
		printf("%u rules: read in %.1f ms, compiled in %.1f ms to %.0f KiB;", rules, read_ms, compile_ms, (double)bytes / 1024);
		for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
			unsigned hits;
			struct folded_name *names = make_names(kinds[k].format, k == 4 ? 256 : rules);
			double each = measure(block, names, &hits);
			printf(" %s %.1f ns (%.0f %% hits)%s", kinds[k].title, each, 100.0 * hits / PASSES / NAMES, k == 4 ? "\n" : ",");
			free(names);
		}
		free(block);
	}
	return 0;
}

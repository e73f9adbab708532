// SPDX-License-Identifier: BSD-3-Clause
// Zone files to measure with; the same arguments give the same octets.
//   zone_maker large RECORDS        one zone "load.example." on standard output: half registry, half hoster
//   zone_maker small COUNT DIR      zones z0.many.example ... of five records, DIR/NNN/zN, and DIR/list
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ZONES_PER_DIRECTORY 1000

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static uint32_t random_below(uint32_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) * bound >> 32);
}

static unsigned long put_address(const char *owner)
{
	printf("%s\tIN\tA\t198.%u.%u.%u\n", owner, 18 + random_below(2), random_below(256),
		random_below(256));
	return 1;
}

static unsigned long put_address6(const char *owner)
{
	printf("%s\tIN\tAAAA\t2001:db8:%x:%x::%x\n", owner, random_below(65536), random_below(65536),
		1 + random_below(65535));
	return 1;
}

// What a registry holds: two servers of a hoster, or servers of its own with glue.
static unsigned long put_delegation(const char *name)
{
	char server[64];
	unsigned long count = 2;
	if (random_below(100) < 70) {
		uint32_t hoster = random_below(2000);
		printf("%s\t86400\tIN\tNS\tns1.hoster%u.example.\n%s\t86400\tIN\tNS\tns2.hoster%u.example.\n",
			name, hoster, name, hoster);
		return count;
	}
	for (unsigned i = 1; i <= 2; i++)
		printf("%s\t86400\tIN\tNS\tns%u.%s\n", name, i, name);
	for (unsigned i = 1; i <= 2; i++) {
		snprintf(server, sizeof(server), "ns%u.%s", i, name);
		count += put_address(server);
		if (random_below(2))
			count += put_address6(server);
	}
	return count;
}

// What a hoster holds.
static unsigned long put_site(const char *name)
{
	char other[64];
	unsigned long count = put_address(name);
	if (random_below(100) < 60)
		count += put_address6(name);
	printf("%s\tIN\tMX\t10 mx%u\n%s\tIN\tMX\t20 mx%u\n", name, random_below(50), name,
		50 + random_below(50));
	printf("%s\tIN\tTXT\t\"v=spf1 mx include:_spf%u.hoster.example ~all\"\n", name, random_below(100));
	printf("www.%s\tIN\tCNAME\t%s\n", name, name);
	count += 4;
	if (random_below(100) < 30) {
		printf("%s\t3600\tIN\tCAA\t0 issue \"ca%u.example\"\n", name, random_below(10));
		count++;
	}
	if (random_below(100) < 20) {
		snprintf(other, sizeof(other), "mail.%s", name);
		count += put_address(other);
		printf("_imaps._tcp.%s\t3600\tIN\tSRV\t0 1 993 %s\n", name, other);
		count++;
	}
	return count;
}

static int make_large(unsigned long records)
{
	static const char *const words[] = { "blue", "data", "garden", "net", "old", "quick", "shop",
		"travel" };
	char name[48];
	unsigned long count = 3 + 100;
	printf("$ORIGIN load.example.\n$TTL 7200\n"
	       "@\tIN\tSOA\tns1 hostmaster 2026010101 7200 3600 1209600 "
	       "3600\n@\tIN\tNS\tns1\nns1\tIN\tA\t198.18.0.53\n");
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "mx%u", i);
		put_address(name);
	}
	for (unsigned i = 0; count < records; i++) {
		snprintf(name, sizeof(name), "%s-%s%u", words[random_below(8)], words[random_below(8)], i);
		if (count + 12 > records) // to the record
			count += put_address(name);
		else
			count += random_below(100) < 60 ? put_delegation(name) : put_site(name);
	}
	return fflush(stdout) ? 1 : 0;
}

static FILE *open_for_writing(const char *path)
{
	FILE *file = fopen(path, "w");
	if (!file)
		fprintf(stderr, "zone_maker: %s: %s\n", path, strerror(errno));
	return file;
}

static int make_small(unsigned long count, const char *directory)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/list", directory);
	FILE *list = open_for_writing(path);
	if (!list)
		return 1;
	for (unsigned long i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%lu", directory, i / ZONES_PER_DIRECTORY);
		if (i % ZONES_PER_DIRECTORY == 0 && mkdir(path, 0755) != 0 && errno != EEXIST) {
			fprintf(stderr, "zone_maker: %s: %s\n", path, strerror(errno));
			return 1;
		}
		snprintf(path, sizeof(path), "%s/%lu/z%lu", directory, i / ZONES_PER_DIRECTORY, i);
		FILE *zone = open_for_writing(path);
		if (!zone)
			return 1;
		fprintf(zone,
			"$TTL 3600\n@ IN SOA ns1.hoster.example. hostmaster.hoster.example. 1 7200 3600 "
			"1209600 3600\n"
			"@ IN NS ns1.hoster.example.\n@ IN NS ns2.hoster.example.\n@ IN A 198.18.%u.%u\nwww "
			"IN CNAME @\n",
			random_below(256), random_below(256));
		if (fclose(zone) != 0)
			return 1;
		fprintf(list, "z%lu.many.example\t%s\n", i, path);
	}
	return fclose(list) ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "large") == 0)
		return make_large(strtoul(argv[2], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "small") == 0)
		return make_small(strtoul(argv[2], NULL, 10), argv[3]);
	fprintf(stderr, "usage: zone_maker large RECORDS | small COUNT DIRECTORY\n");
	return 2;
}

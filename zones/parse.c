// SPDX-License-Identifier: BSD-3-Clause
// Tokens -> records: owners, TTLs and classes that may be left out, $ORIGIN, $TTL, $INCLUDE, $GENERATE
// (RFC 1035 5.1, RFC 2308 4).
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/zonefile.h>

#include "generate.h"
#include "parse.h"
#include "rrtype_table.h"

#define CLASS_IN 1

static unsigned type_slot(uint64_t key)
{
	return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static uint64_t upper_key(const char *text, size_t bytes)
{
	uint64_t key = 0;
	memcpy(&key, text, bytes);
	// Letters lose bit 5; a digit or hyphen never becomes a letter that a mnemonic has.
	uint64_t letters = key & UINT64_C(0x4040404040404040);
	return key & ~(letters >> 1);
}

static void fill_types(struct parser *p)
{
	for (unsigned i = 0; i < RRTYPE_ROWS; i++) {
		size_t bytes = strlen(rrtypes[i].name);
		if (bytes > 8 || strchr(rrtypes[i].name, '_'))
			continue;
		uint64_t key = upper_key(rrtypes[i].name, bytes);
		unsigned slot = type_slot(key);
		while (p->type_key[slot])
			slot = (slot + 1) % TYPE_SLOTS;
		p->type_key[slot] = key;
		p->type_code[slot] = rrtypes[i].code;
	}
}

static bool find_type(const struct parser *p, const struct token *token, uint16_t *code)
{
	if (token->kind != TOKEN_WORD || token->escaped)
		return false;
	if (token->bytes <= 8) {
		uint64_t key = upper_key(token->at, token->bytes);
		for (unsigned slot = type_slot(key); p->type_key[slot]; slot = (slot + 1) % TYPE_SLOTS) {
			if (p->type_key[slot] == key) {
				*code = p->type_code[slot];
				return true;
			}
		}
	}
	return rrtype_from_text(code, token->at, token->bytes) == ST_OK;
}

// RFC 2181 8: a TTL with the top bit set counts as 0.
static uint32_t limit_ttl(struct scanner *s, uint32_t ttl)
{
	if (ttl <= TTL_MAX_S)
		return ttl;
	scan_warn(s, "TTL %u is above 2147483647 and counts as 0 (RFC 2181 8)", ttl);
	return 0;
}

struct head {
	bool has_ttl, has_class;
	uint32_t ttl;
	uint16_t type;
};

static inline bool is_internet(const struct token *token)
{
	return token->bytes == 2 && (token->at[0] | 0x20) == 'i' && (token->at[1] | 0x20) == 'n';
}

static bool is_other_class(const struct token *token)
{
	static const char *const names[] = { "CS", "CH", "HS", "NONE", "ANY" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (token_is(token, names[i]))
			return true;
	}
	return false;
}

// What is neither TTL, IN nor type: CLASS1 at best (RFC 3597 5), which is consumed.
static bool take_numbered_class(struct scanner *s, struct head *head)
{
	const struct token *token = &s->token;
	uint32_t number = 0;
	bool numbered = token->bytes > 5 && strncasecmp(token->at, "CLASS", 5) == 0 &&
			text_to_number(token->at + 5, token->bytes - 5, UINT16_MAX, &number);
	if (is_other_class(token) || (numbered && number != CLASS_IN))
		return scan_wrong(s, "expected class IN, found %.*s; no other class is served",
			(int)token->bytes, token->at);
	if (!numbered)
		return scan_expected(
			s, head->has_class && head->has_ttl ? "an RR type" : "a TTL, a class or an RR type");
	if (head->has_class)
		return scan_wrong(s, "the class stands there twice");
	head->has_class = true;
	scan_next(s);
	return true;
}

// [TTL] [class] type, the first two in either order.
static bool scan_head(struct parser *p, struct scanner *s, struct head *head)
{
	for (;;) {
		const struct token *token = &s->token;
		if (token->kind != TOKEN_WORD)
			return scan_expected(s, "an RR type");
		if (isdigit((unsigned char)*token->at)) {
			if (head->has_ttl)
				return scan_expected(s, "an RR type behind the TTL");
			if (!text_to_seconds(token->at, token->bytes, &head->ttl))
				return scan_expected(
					s, "a TTL of at most 4294967295 seconds, a class or an RR type");
			head->ttl = limit_ttl(s, head->ttl);
			head->has_ttl = true;
			scan_next(s);
			continue;
		}
		if (is_internet(token)) {
			if (head->has_class)
				return scan_wrong(s, "the class stands there twice");
			head->has_class = true;
			scan_next(s);
			continue;
		}
		if (find_type(p, token, &head->type))
			break;
		if (!take_numbered_class(s, head))
			return false;
	}
	// OPT and the codes of RFC 6895 3.1 for questions and messages
	if (head->type == 0 || head->type == TYPE_OPT || (head->type >= 249 && head->type <= 255))
		return scan_expected(s, "an RR type that zones may hold");
	scan_next(s);
	return true;
}

static bool scan_fields(struct scanner *s, uint16_t type, struct writer *out)
{
	const struct rrtype *row = rrtype_by_code(type);
	if (!row) {
		struct writer none = *out;
		return field_kinds[F_UNKNOWN].scan(s, &none);
	}
	for (const uint8_t *field = row->field; *field != F_END; field++) {
		if (!field_kinds[*field].scan(s, out))
			return false;
	}
	return scan_at_end(s) || scan_expected(s, "the end of the record");
}

// Types that hold a digest behind an octet that names its kind, and how long the known kinds are.
static const struct digest_place {
	uint16_t type;
	uint8_t kind_at, digest_at;
	uint8_t bytes_of_kind[5]; // 0: not known
} digest_places[] = {
	{ TYPE_DS, 3, 4, { 0, 20, 32, 0, 48 } }, // RFC 4034 A.2, RFC 4509, RFC 6605
	{ TYPE_CDS, 3, 4, { 0, 20, 32, 0, 48 } }, { TYPE_DLV, 3, 4, { 0, 20, 32, 0, 48 } },
	{ TYPE_SSHFP, 1, 2, { 0, 20, 32 } },					    // RFC 4255, RFC 6594
	{ TYPE_TLSA, 2, 3, { 0, 32, 64 } },					    // RFC 6698 2.1.3
	{ TYPE_SMIMEA, 2, 3, { 0, 32, 64 } }, { TYPE_ZONEMD, 5, 6, { 0, 48, 64 } }, // RFC 8976 2.2.3
};

// A digest of a wrong length is surely a slip, but the record can be served.
static void weigh_digest(struct scanner *s, uint16_t type, const struct writer *rdata)
{
	for (unsigned i = 0; i < sizeof(digest_places) / sizeof(*digest_places); i++) {
		const struct digest_place *place = &digest_places[i];
		if (place->type != type || writer_bytes(rdata) < place->digest_at)
			continue;
		unsigned kind = rdata->start[place->kind_at],
			 bytes = (unsigned)writer_bytes(rdata) - place->digest_at;
		unsigned expected = kind < sizeof(place->bytes_of_kind) ? place->bytes_of_kind[kind] : 0;
		if (expected && bytes != expected)
			scan_warn(s, "a digest of kind %u has %u octets, this one %u", kind, expected, bytes);
	}
}

bool scan_rdata(struct scanner *s, uint16_t type, struct writer *out)
{
	char name[16];
	const struct rrtype *row = rrtype_by_code(type);
	s->about = row ? row->name : rrtype_to_text(name, type);
	bool unknown =
		s->token.kind == TOKEN_WORD && s->token.bytes == 2 && memcmp(s->token.at, "\\#", 2) == 0;
	bool good = unknown ? scan_unknown(s, out) : scan_fields(s, type, out);
	if (good && out->failed)
		good = scan_wrong(s, "the RDATA is longer than 65535 octets");
	if (good && unknown) {
		const char *wrong = rdata_check(type, out->start, writer_bytes(out));
		if (wrong)
			good = scan_wrong(s, "%s", wrong);
	}
	if (good && type >= TYPE_DS) // no earlier type has a digest
		weigh_digest(s, type, out);
	s->about = NULL;
	return good;
}

// RFC 2308 4: $TTL; before that RFC 1035 5.1: the last one named. Else the SOA's MINIMUM, once warned about.
static bool choose_ttl(struct parser *p, struct scanner *s, struct head *head, const struct writer *rdata)
{
	struct ttls *ttls = &p->ttls;
	if (head->has_ttl) {
		p->named_ttl = ttls->has_last = true;
		ttls->last_s = head->ttl;
		return true;
	}
	if (ttls->has_default) {
		head->ttl = ttls->default_s;
		return true;
	}
	p->took_last_ttl |= !p->named_ttl;
	if (!ttls->has_last) {
		if (head->type != TYPE_SOA)
			return scan_wrong(s, "expected a TTL: there is none here, none before, and no $TTL");
		ttls->last_s = load_be32(rdata->at - 4);
		scan_warn(s, "no TTL for the SOA and no $TTL: its MINIMUM of %u s is taken", ttls->last_s);
		ttls->last_s = limit_ttl(s, ttls->last_s);
		p->named_ttl = ttls->has_last = true;
	}
	head->ttl = ttls->last_s;
	return true;
}

// From behind the owner to the end of the record.
static bool read_record(struct parser *p, struct scanner *s, unsigned line)
{
	struct head head = { 0 };
	if (!scan_head(p, s, &head))
		return false;
	struct writer out = writer_of(p->rdata, RDATA_MAX_BYTES);
	if (!scan_rdata(s, head.type, &out) || !choose_ttl(p, s, &head, &out))
		return false;
	const struct record record = { .owner = p->owner,
		.rdata = p->rdata,
		.type = head.type,
		.class = CLASS_IN,
		.rdata_bytes = (uint16_t)writer_bytes(&out),
		.ttl = head.ttl,
		.file = s->file,
		.line = line };
	p->stopped = p->handle(p->ctx, &record);
	return true;
}

static bool end_of_directive(struct scanner *s)
{
	return scan_at_end(s) || scan_expected(s, "the end of the line");
}

static bool read_origin(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *origin)
{
	(void)p;
	(void)file;
	uint8_t name[NAME_MAX_BYTES + TEXT_PAD_BYTES];
	unsigned bytes = scan_name(s, name);
	if (!bytes)
		return false;
	scan_next(s);
	if (!end_of_directive(s))
		return false;
	memcpy(origin, name, bytes);
	scan_set_origin(s, origin);
	return true;
}

static bool read_ttl(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *origin)
{
	(void)file;
	(void)origin;
	uint32_t ttl;
	if (s->token.kind != TOKEN_WORD || !text_to_seconds(s->token.at, s->token.bytes, &ttl))
		return scan_expected(s, "a TTL in seconds or with units (1h30m)");
	ttl = limit_ttl(s, ttl);
	scan_next(s);
	if (!end_of_directive(s))
		return false;
	p->ttls.default_s = ttl;
	p->ttls.has_default = true;
	return true;
}

// A relative path is taken from the directory of the file that includes.
static char *path_beside(const char *file, const uint8_t *path, size_t bytes)
{
	const char *slash = *path == '/' ? NULL : strrchr(file, '/');
	size_t directory = slash ? (size_t)(slash - file) + 1 : 0;
	char *joined = malloc(directory + bytes + 1);
	if (!joined)
		return NULL;
	memcpy(joined, file, directory);
	memcpy(joined + directory, path, bytes);
	joined[directory + bytes] = '\0';
	return joined;
}

static bool is_open(const struct open_file *file, const struct stat *status)
{
	for (; file; file = file->parent) {
		if (file->device == status->st_dev && file->inode == status->st_ino)
			return true;
	}
	return false;
}

// A file that is read from anywhere but a disk may never end, or never begin: only the zone file itself may be one.
static const char *why_not(const struct stat *status, const struct open_file *parent)
{
	if (S_ISDIR(status->st_mode))
		return strerror(EISDIR);
	if (parent && !S_ISREG(status->st_mode))
		return "it is not a regular file";
	return is_open(parent, status) ? "it includes itself" : NULL;
}

// An open file; -1 with *why and errno.
static int open_file(const char *path, const struct open_file *parent, struct stat *status, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); // a pipe that nobody writes to would be waited for
	if (fd < 0 || fstat(fd, status) < 0 || fcntl(fd, F_SETFL, O_RDONLY) < 0)
		*why = strerror(errno);
	else if (!(*why = why_not(status, parent)))
		return fd;
	int error = fd < 0 ? errno : EINVAL;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

// Reads one file from beginning to end.
static enum status read_file(struct parser *p, int fd, const struct stat *status, const char *path,
	const uint8_t *origin, const struct open_file *parent)
{
	const struct open_file self = { parent, status->st_dev, status->st_ino,
		parent ? parent->depth + 1 : 0 };
	struct scanner s;
	uint8_t own_origin[NAME_MAX_BYTES];
	size_t hint = S_ISREG(status->st_mode) ? (size_t)status->st_size : WINDOW_BYTES;
	if (p->sources && !source_list_add(p->sources, path, status))
		return ST_NO_MEMORY;
	if (scan_open(&s, fd, hint, NULL, 0, path, p->report) != ST_OK)
		return ST_NO_MEMORY;
	scan_set_origin(&s, origin);
	scan_skip_mark(&s);
	parser_read(p, &s, &self, own_origin, UINT64_MAX);
	scan_close(&s);
	return s.status;
}

enum status parser_read_file(struct parser *p, int fd, const struct stat *status, const char *path, const uint8_t *origin)
{
	return read_file(p, fd, status, path, origin, NULL);
}

static bool include(struct parser *p, struct scanner *s, const struct open_file *file, const char *path,
	const uint8_t *origin)
{
	struct stat status;
	const char *why;
	if (file->depth + 1 >= INCLUDE_MAX_DEPTH)
		return scan_wrong(s, "$INCLUDE more than %u deep", INCLUDE_MAX_DEPTH);
	if (p->includes++ >= INCLUDES_MAX)
		return scan_wrong(s, "more than %u files included", INCLUDES_MAX);
	int fd = open_file(path, file, &status, &why);
	if (fd < 0)
		return scan_wrong(s, "$INCLUDE of %s: %s", path, why);
	// RFC 1035 5.1: what the included file does to the origin is its own affair; so it is with the owner.
	uint8_t owner[NAME_MAX_BYTES];
	unsigned owner_bytes = p->owner_bytes;
	memcpy(owner, p->owner, owner_bytes);
	enum status result = read_file(p, fd, &status, path, origin, file);
	close(fd);
	if (result == ST_NO_MEMORY)
		p->stopped = result;
	memcpy(p->owner, owner, owner_bytes);
	p->owner_bytes = owner_bytes;
	return true;
}

// $INCLUDE file [origin]
static bool read_include(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *unused)
{
	(void)unused;
	uint8_t name[4096], origin[NAME_MAX_BYTES + TEXT_PAD_BYTES];
	memcpy(origin, s->origin, s->origin_bytes);
	if (!scan_has_text(s) || s->token.bytes == 0)
		return scan_expected(s, "a file name");
	if (!p->may_include)
		return scan_wrong(s, "$INCLUDE is not possible here");
	struct token place = s->token;
	int bytes = scan_octets(s, name, sizeof(name) - 1);
	if (bytes < 0)
		return false;
	if (memchr(name, '\0', (size_t)bytes))
		return scan_wrong(s, "a file name with a NUL in it");
	scan_next(s);
	if (!scan_at_end(s)) {
		if (!scan_name(s, origin))
			return false;
		scan_next(s);
	}
	if (!end_of_directive(s))
		return false;
	char *path = path_beside(s->file, name, (size_t)bytes);
	if (!path) {
		p->stopped = ST_NO_MEMORY;
		return false;
	}
	struct token end = s->token;
	s->token.line = place.line; // messages point at the file name
	s->token.column = place.column;
	bool good = include(p, s, file, path, origin);
	s->token = end;
	free(path);
	return good;
}

// $GENERATE range lhs [TTL] [class] type rhs: the lines it stands for, read like any others.
static bool read_generate(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *unused)
{
	(void)unused;
	struct generator generator;
	unsigned line = s->token.line, column = s->token.column;
	if (!generator_open(&generator, s))
		return false;
	const char *text;
	size_t bytes;
	while (p->stopped == ST_OK && !report_is_full(p->report) &&
		generator_next(&generator, s, &text, &bytes)) {
		struct scanner lines;
		uint8_t no_origin[NAME_MAX_BYTES]; // of these lines none is a directive
		if (scan_open(&lines, -1, 0, text, bytes, s->file, p->report) != ST_OK) {
			p->stopped = ST_NO_MEMORY;
			break;
		}
		unsigned errors = p->report->errors;
		lines.fixed_line = line;
		lines.fixed_column = column;
		scan_set_origin(&lines, s->origin);
		parser_read(p, &lines, file, no_origin, UINT64_MAX);
		scan_close(&lines);
		if (p->report->errors > errors) // the next line would only say it again
			break;
	}
	generator_close(&generator);
	return true;
}

static const struct directive {
	const char *name;
	// Reads from behind the name. `origin` is the file's own room for its origin.
	bool (*read)(struct parser *, struct scanner *, const struct open_file *, uint8_t *origin);
} directives[] = {
	{ "$ORIGIN", read_origin },
	{ "$TTL", read_ttl },
	{ "$INCLUDE", read_include },
	{ "$GENERATE", read_generate },
};

static bool read_directive(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *origin)
{
	p->met_directive = true;
	if (p->no_directives)
		return true;
	for (unsigned i = 0; i < sizeof(directives) / sizeof(*directives); i++) {
		if (s->fixed_line == 0 && token_is(&s->token, directives[i].name)) {
			scan_next(s);
			return directives[i].read(p, s, file, origin);
		}
	}
	return scan_expected(s, "$ORIGIN, $TTL, $INCLUDE or $GENERATE");
}

// One record or directive; the current token is its first.
static bool read_entry(
	struct parser *p, struct scanner *s, bool no_owner, const struct open_file *file, uint8_t *origin)
{
	unsigned line = s->fixed_line ? s->fixed_line : s->token.line;
	if (!no_owner) {
		if (s->token.kind == TOKEN_WORD && *s->token.at == '$')
			return read_directive(p, s, file, origin);
		p->owner_bytes = scan_name(s, p->owner);
		if (!p->owner_bytes)
			return false;
		scan_next(s);
	} else if (!p->owner_bytes) {
		return scan_wrong(s, "a record without an owner, and none before it to take it from");
	}
	return read_record(p, s, line);
}

static bool may_go_on(const struct parser *p, const struct scanner *s)
{
	return p->stopped == ST_OK && s->status == ST_OK && !report_is_full(p->report) &&
		!(p->no_directives && p->met_directive);
}

bool parser_read(struct parser *p, struct scanner *s, const struct open_file *file, uint8_t *origin, uint64_t until)
{
	while (may_go_on(p, s)) {
		if (scan_offset(s) >= until)
			return true;
		bool no_owner = scan_line_is_blank(s);
		scan_next(s);
		if (s->token.kind == TOKEN_END_OF_FILE)
			return false;
		if (s->token.kind == TOKEN_END_OF_LINE)
			continue;
		if (!read_entry(p, s, no_owner, file, origin))
			scan_skip_record(s);
		p->met_end |= s->token.kind == TOKEN_END_OF_FILE;
	}
	return false;
}

struct parser *parser_new(record_handler *handle, void *ctx, struct report *report)
{
	struct parser *p = malloc(sizeof(*p)); // not zeroed: RDATA needs no zeros
	if (!p)
		return NULL;
	memset(p, 0, offsetof(struct parser, owner));
	p->handle = handle;
	p->ctx = ctx;
	p->report = report;
	fill_types(p);
	return p;
}

void parser_reset(struct parser *p, const struct ttls *ttls)
{
	p->stopped = ST_OK;
	p->met_directive = p->met_end = p->named_ttl = p->took_last_ttl = false;
	p->owner_bytes = 0;
	p->ttls = *ttls;
}

static enum status finish(struct parser *p, enum status reading, unsigned errors_before)
{
	enum status stopped = p->stopped;
	bool wrong = p->report->errors > errors_before;
	if (report_is_full(p->report) && wrong)
		report_at(p->report, SEVERITY_WARNING, "", 0, 0, "too many errors, the rest was not read");
	free(p);
	if (stopped != ST_OK)
		return stopped;
	if (reading != ST_OK)
		return reading;
	return wrong ? ST_SYNTAX : ST_OK;
}

enum status zonefile_read_by(file_reader *read, const char *path, const uint8_t *origin, record_handler *handle,
	void *ctx, struct report *report, struct zonefile_source *source)
{
	struct stat status;
	const char *why;
	struct source_list sources = { 0 };
	unsigned errors_before = report->errors;
	if (source)
		*source = (struct zonefile_source){ 0 };
	int fd = open_file(path, NULL, &status, &why);
	if (fd < 0) {
		enum status result = errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
		report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot read: %s", why);
		return result;
	}
	struct parser *p = parser_new(handle, ctx, report);
	if (!p) {
		close(fd);
		return ST_NO_MEMORY;
	}
	p->may_include = true;
	p->sources = source ? &sources : NULL;
	enum status reading = read(p, fd, &status, path, origin);
	close(fd);
	enum status result = finish(p, reading, errors_before);
	if (source)
		source_list_finish(&sources, source);
	return result;
}

enum status zonefile_read(const char *path, const uint8_t *origin, record_handler *handle, void *ctx,
	struct report *report, struct zonefile_source *source)
{
	return zonefile_read_by(parser_read_file, path, origin, handle, ctx, report, source);
}

enum status zonefile_read_text(const char *text, size_t bytes, const char *name, const uint8_t *origin,
	record_handler *handle, void *ctx, struct report *report)
{
	const struct open_file self = { 0 };
	struct scanner s;
	uint8_t own_origin[NAME_MAX_BYTES];
	unsigned errors_before = report->errors;
	struct parser *p = parser_new(handle, ctx, report);
	if (!p || scan_open(&s, -1, 0, text, bytes, name, report) != ST_OK) {
		free(p);
		return ST_NO_MEMORY;
	}
	scan_set_origin(&s, origin);
	scan_skip_mark(&s);
	parser_read(p, &s, &self, own_origin, UINT64_MAX);
	scan_close(&s);
	return finish(p, s.status, errors_before);
}

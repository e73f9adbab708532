// SPDX-License-Identifier: BSD-3-Clause
// One large file, read by several threads. It is cut where a line begins as records do. Each piece is read as if
// nothing before it mattered but what is known already: origin and TTLs. Then, in order, a piece counts if the one
// before it has ended just there (and not inside of parentheses) and left origin and TTLs as they were assumed;
// what does not count is read again, as one thread would have read it all. So guesses cost time, never truth.
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "notes.h"
#include "parse.h"
#include "team.h"

#define FILE_LEAST_BYTES (UINT64_C(1) << 20) // smaller ones are read at once by one thread
#define HEAD_BYTES (UINT64_C(64) << 10)	     // read first: most files say $ORIGIN and $TTL there, and never again
#define PIECE_BYTES (UINT64_C(256) << 10)
#define PIECES_MAX 16384
#define LINE_LOOK_BYTES (UINT64_C(16) << 10) // so far behind its place a cut is looked for
#define WRONG_GUESSES_MAX 8		     // then the rest is read by one thread

// What a thread makes of a piece.
struct piece {
	uint64_t from, to; // of the text
	bool is_whole;	   // nothing stands against it but what came before
	struct ttls assumed;
	uint64_t origin_number; // that was in force
	char *text;
	size_t room;
	unsigned lines;
	struct parser *parser;
	struct notes notes;
	struct batch batch;
	const struct zone_builder *builder;
	uint16_t file;
};

struct pieces {
	struct zone_builder *builder;
	const char *path;
	int fd;
	uint64_t bytes, begin, step; // of the file; of the first piece; from piece to piece
	unsigned count;
	int first_file;
	struct arena *arena[TEAM_THREADS_MAX];
	struct piece piece[TEAM_SLOTS_MAX];
	// Of whoever settles.
	struct parser *parser; // reads what is not read in pieces
	struct open_file self;
	uint64_t at;	// so far all is read
	unsigned lines; // in that
	enum status reading;
	unsigned wrong_guesses;
	// Written by whoever settles, read by the others.
	pthread_mutex_t lock;
	struct ttls ttls;
	uint8_t origin[NAME_MAX_BYTES];
	uint64_t origin_number; // counts changes
};

// --- reading a piece ---

static bool may_begin_record(char c)
{
	return (unsigned char)c > ' ' && !strchr(";$()\"", c);
}

static bool fill_text(struct piece *piece, int fd, uint64_t from, uint64_t to, size_t *got)
{
	if (to - from > piece->room) {
		free(piece->text);
		piece->room = (size_t)(to - from);
		piece->text = malloc(piece->room);
		if (!piece->text) {
			piece->room = 0;
			return false;
		}
	}
	ssize_t count;
	for (*got = 0; *got < to - from; *got += (size_t)count) {
		count = pread(fd, piece->text + *got, (size_t)(to - from) - *got, (off_t)(from + *got));
		if (count <= 0)
			return count == 0;
	}
	return true;
}

// The first place at or behind `at` where a line begins as records do. False: none near.
static bool find_cut(const char *text, size_t bytes, size_t at, size_t *cut)
{
	size_t end = at + LINE_LOOK_BYTES < bytes ? at + LINE_LOOK_BYTES : bytes;
	while (at < end) {
		const char *newline = memchr(text + at - 1, '\n', end - at);
		if (!newline)
			return false;
		at = (size_t)(newline - text) + 1;
		if (at < end && may_begin_record(text[at])) {
			*cut = at;
			return true;
		}
		at++;
	}
	return false;
}

// Reads the text of piece `number` and finds where it really begins and ends: both neighbours find the same place.
static bool cut_piece(struct pieces *p, struct piece *piece, unsigned number, size_t *from, size_t *to)
{
	uint64_t begin = p->begin + number * p->step, end = begin + p->step, look = end + LINE_LOOK_BYTES;
	bool is_last = number + 1 == p->count;
	size_t got;
	piece->from = begin;
	piece->to = is_last ? p->bytes : end;
	if (!fill_text(piece, p->fd, begin - 1, is_last || look > p->bytes ? p->bytes : look, &got))
		return false;
	*to = got;
	if (!find_cut(piece->text, got, 1, from) || (!is_last && !find_cut(piece->text, got, (size_t)p->step + 1, to)))
		return false;
	piece->from = begin - 1 + *from;
	piece->to = begin - 1 + *to;
	return true;
}

static enum status take_record(void *ctx, const struct record *record)
{
	struct piece *piece = ctx;
	if (builder_is_interrupted(piece->builder))
		return ST_REFUSED;
	return batch_add(&piece->batch, piece->builder, &piece->notes.report, record, piece->file);
}

static bool parse_piece(struct pieces *p, struct piece *piece, const char *text, size_t bytes)
{
	struct scanner s;
	uint8_t origin[NAME_MAX_BYTES];
	pthread_mutex_lock(&p->lock);
	piece->assumed = p->ttls;
	piece->origin_number = p->origin_number;
	memcpy(origin, p->origin, sizeof(origin));
	pthread_mutex_unlock(&p->lock);
	if (scan_open(&s, -1, 0, text, bytes, p->path, &piece->notes.report) != ST_OK)
		return false;
	scan_set_origin(&s, origin);
	parser_reset(piece->parser, &piece->assumed);
	parser_read(piece->parser, &s, &p->self, origin, UINT64_MAX);
	piece->lines = s.line - 1;
	scan_close(&s);
	return s.status == ST_OK && !piece->parser->met_directive && !piece->parser->met_end;
}

static void run_piece(void *ctx, unsigned number, unsigned thread)
{
	struct pieces *p = ctx;
	struct piece *piece = &p->piece[number % team_slots(p->builder->threads)];
	size_t from, to;
	piece->builder = p->builder;
	piece->is_whole = false;
	piece->file = (uint16_t)((unsigned)p->first_file + number);
	piece->batch.arena = p->arena[thread];
	batch_empty(&piece->batch);
	notes_begin(&piece->notes, p->parser->report);
	if (!piece->parser)
		piece->parser = parser_new(take_record, piece, &piece->notes.report);
	if (!piece->parser || !cut_piece(p, piece, number, &from, &to))
		return;
	piece->parser->no_directives = true;
	struct arena_mark mark = arena_mark(piece->batch.arena);
	piece->is_whole = parse_piece(p, piece, piece->text + from, to - from);
	if (!piece->is_whole)
		arena_rewind(piece->batch.arena, mark);
}

// --- bringing them together ---

static void show_ttls(struct pieces *p)
{
	pthread_mutex_lock(&p->lock);
	p->ttls = p->parser->ttls;
	pthread_mutex_unlock(&p->lock);
}

static void show_origin(struct pieces *p, const uint8_t *origin)
{
	pthread_mutex_lock(&p->lock);
	memcpy(p->origin, origin, name_length(origin, NAME_MAX_BYTES));
	p->origin_number++;
	pthread_mutex_unlock(&p->lock);
}

// From where all is read to `until`, as if there were no pieces. False: there is no more to read.
static bool read_on(struct pieces *p, uint64_t until)
{
	struct scanner s;
	uint8_t origin[NAME_MAX_BYTES]; // another one than before
	if (p->reading != ST_OK)
		return false;
	if (lseek(p->fd, (off_t)p->at, SEEK_SET) < 0 ||
		scan_open(&s, p->fd, WINDOW_BYTES, NULL, 0, p->path, p->parser->report) != ST_OK) {
		p->reading = ST_NO_MEMORY;
		return false;
	}
	s.line = p->lines + 1;
	scan_set_origin(&s, p->origin);
	if (p->at == 0)
		scan_skip_mark(&s);
	bool more = parser_read(p->parser, &s, &p->self, origin, until - p->at);
	p->at += scan_offset(&s);
	p->lines = s.line - 1;
	p->reading = s.status;
	show_ttls(p);
	if (s.origin != p->origin)
		show_origin(p, s.origin);
	scan_close(&s);
	return more;
}

static bool was_guessed_right(const struct pieces *p, const struct piece *piece)
{
	const struct ttls *now = &p->parser->ttls, *then = &piece->assumed;
	return piece->from == p->at && piece->origin_number == p->origin_number &&
		now->has_default == then->has_default && now->default_s == then->default_s &&
		(!piece->parser->took_last_ttl || (now->has_last == then->has_last && now->last_s == then->last_s));
}

// A reader gives up in the middle of a file with too many errors: only one thread can tell where.
static bool has_too_many_errors(const struct pieces *p, const struct piece *piece)
{
	struct report both = *p->parser->report;
	both.errors += piece->notes.report.errors;
	return report_is_full(&both);
}

static enum status take_piece(struct pieces *p, struct piece *piece)
{
	struct parser *parser = piece->parser;
	if (parser->stopped != ST_OK)
		return parser->stopped;
	enum status status = notes_tell(&piece->notes, p->parser->report, p->lines);
	if (status == ST_OK)
		status = builder_settle(p->builder);
	if (status == ST_OK)
		status = builder_take(p->builder, &piece->batch);
	p->builder->files[piece->file].lines_before = p->lines;
	p->at = piece->to;
	p->lines += piece->lines;
	if (parser->named_ttl) {
		p->parser->ttls = parser->ttls;
		show_ttls(p);
	}
	return status;
}

static bool settle_piece(void *ctx, unsigned number)
{
	struct pieces *p = ctx;
	struct piece *piece = &p->piece[number % team_slots(p->builder->threads)];
	if (p->at < piece->from && !read_on(p, piece->from))
		return false;
	if (piece->is_whole && was_guessed_right(p, piece) && !has_too_many_errors(p, piece)) {
		p->parser->stopped = take_piece(p, piece);
		return p->parser->stopped == ST_OK;
	}
	p->wrong_guesses += piece->is_whole;
	return (p->at >= piece->to || read_on(p, piece->to)) && p->wrong_guesses < WRONG_GUESSES_MAX;
}

static struct pieces *new_pieces(struct parser *parser, int fd, const struct stat *status, const char *path,
	const uint8_t *origin)
{
	struct pieces *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->builder = parser->ctx;
	p->parser = parser;
	p->path = path;
	p->fd = fd;
	p->bytes = (uint64_t)status->st_size;
	p->self = (struct open_file){ NULL, status->st_dev, status->st_ino, 0 };
	memcpy(p->origin, origin, name_length(origin, NAME_MAX_BYTES));
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void free_pieces(struct pieces *p)
{
	for (unsigned i = 0; i < TEAM_SLOTS_MAX; i++) {
		free(p->piece[i].parser);
		free(p->piece[i].text);
		notes_free(&p->piece[i].notes);
		batch_free(&p->piece[i].batch);
	}
	for (unsigned i = 0; i < TEAM_THREADS_MAX; i++) {
		if (p->arena[i])
			arena_hand_over(p->builder->arena, p->arena[i]);
		arena_free(p->arena[i]);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
	malloc_trim(0); // some megabytes, while the image needs as much memory as it gets
}

// Behind the head: the rest in pieces.
static bool plan(struct pieces *p)
{
	if (p->at >= p->bytes)
		return false;
	uint64_t rest = p->bytes - p->at;
	p->begin = p->at;
	p->step = rest / PIECES_MAX > PIECE_BYTES ? rest / PIECES_MAX : PIECE_BYTES;
	p->count = (unsigned)((rest + p->step - 1) / p->step);
	p->first_file = builder_add_files(p->builder, p->path, p->count, LINES_NOT_KNOWN);
	for (unsigned i = 0; i < p->builder->threads && i < TEAM_THREADS_MAX; i++) {
		p->arena[i] = arena_new();
		if (!p->arena[i])
			return false;
	}
	return p->first_file >= 0;
}

static enum status read_in_pieces(struct parser *parser, int fd, const struct stat *status, const char *path,
	const uint8_t *origin)
{
	struct pieces *p = NULL;
	bool worth_it = S_ISREG(status->st_mode) && (uint64_t)status->st_size >= FILE_LEAST_BYTES;
	if (!worth_it || !(p = new_pieces(parser, fd, status, path, origin)))
		return parser_read_file(parser, fd, status, path, origin);
	if (parser->sources && !source_list_add(parser->sources, path, status))
		p->reading = ST_NO_MEMORY;
	else if (read_on(p, HEAD_BYTES)) {
		if (plan(p))
			team_run(p->builder->threads, &(struct team_work){ p->count, run_piece, settle_piece }, p);
		read_on(p, UINT64_MAX);
	}
	enum status reading = p->reading;
	free_pieces(p);
	return reading;
}

enum status zone_builder_read(struct zone_builder *builder, const char *path, const uint8_t *origin,
	struct report *report, struct zonefile_source *source)
{
	file_reader *reader = builder->threads > 1 ? read_in_pieces : parser_read_file;
	return zonefile_read_by(reader, path, origin, zone_builder_add, builder, report, source);
}

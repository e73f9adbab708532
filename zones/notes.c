// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include "notes.h"

#define FIRST_ROOM 4096

struct note {
	const char *file; // outlives the notes
	enum severity severity;
	unsigned line, column;
	size_t bytes; // of the text behind it, its NUL included
};

static char *make_room(struct notes *notes, size_t bytes)
{
	if (notes->room - notes->bytes >= bytes)
		return notes->kept + notes->bytes;
	size_t room = notes->room ? notes->room * 2 : FIRST_ROOM;
	while (room - notes->bytes < bytes)
		room *= 2;
	char *kept = realloc(notes->kept, room);
	if (!kept)
		return NULL;
	notes->kept = kept;
	notes->room = room;
	return kept + notes->bytes;
}

static void keep(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct notes *notes = ctx;
	const struct note note = { file, severity, line, column, strlen(text) + 1 };
	char *at = make_room(notes, sizeof(note) + note.bytes);
	if (!at) {
		notes->lost = 1;
		return;
	}
	memcpy(at, &note, sizeof(note));
	memcpy(at + sizeof(note), text, note.bytes);
	notes->bytes += sizeof(note) + note.bytes;
}

void notes_begin(struct notes *notes, const struct report *to)
{
	notes->report = (struct report){ .emit = to->emit ? keep : NULL, .ctx = notes, .max_errors = to->max_errors };
	notes->bytes = 0;
	notes->lost = 0;
}

enum status notes_tell(const struct notes *notes, struct report *to, unsigned lines_before)
{
	if (!to->emit) {
		to->errors += notes->report.errors;
		to->warnings += notes->report.warnings;
		return ST_OK;
	}
	for (size_t at = 0; at < notes->bytes;) {
		struct note note;
		memcpy(&note, notes->kept + at, sizeof(note));
		at += sizeof(note);
		report_at(to, note.severity, note.file, note.line ? note.line + lines_before : 0, note.column, "%s",
			notes->kept + at);
		at += note.bytes;
	}
	return notes->lost ? ST_NO_MEMORY : ST_OK;
}

void notes_free(struct notes *notes)
{
	free(notes->kept);
	*notes = (struct notes){ 0 };
}

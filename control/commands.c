// SPDX-License-Identifier: BSD-3-Clause
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/ctl.h>
#include <pollux/log.h>

#include "commands.h"

#define WORDS_MAX 16

const struct command commands[] = {
#define COMMAND(name, takes, handler, needs, tells)                                                               \
	{ .words = name, .arguments = takes, .help = tells, .run = command_##handler, .right = needs },
#include "commands.def"
#undef COMMAND
};
const unsigned command_count = sizeof(commands) / sizeof(commands[0]);

struct call {
	struct control *control;
	const struct command *command;
	call_done *done;
	void *ctx;
	char *words; // the text that `word` points into
	const char *word[WORDS_MAX];
	unsigned word_count, command_words;
	json_t *next; // or NULL
};

struct control *call_control(const struct call *call)
{
	return call->control;
}

unsigned call_arg_count(const struct call *call)
{
	return call->word_count - call->command_words;
}

const char *call_arg(const struct call *call, unsigned i)
{
	return i < call_arg_count(call) ? call->word[call->command_words + i] : NULL;
}

// --- JSON ---

json_t *json_text(const char *text)
{
	json_t *made = json_string(text);
	if (made)
		return made;
	char *escaped = malloc(strlen(text) * 4 + 1), *to = escaped;
	if (!escaped)
		return json_null();
	for (const unsigned char *from = (const unsigned char *)text; *from; from++) {
		if (*from < 0x80)
			*to++ = (char)*from;
		else
			to += snprintf(to, 5, "\\x%02x", *from);
	}
	*to = '\0';
	made = json_string(escaped);
	free(escaped);
	return made ? made : json_null();
}

json_t *json_lines(const struct findings *findings)
{
	json_t *lines = json_array();
	for (unsigned i = 0; i < findings->lines; i++)
		json_array_append_new(lines, json_text(findings->line[i]));
	unsigned all = findings->report.errors + findings->report.warnings;
	if (all > findings->lines)
		json_array_append_new(lines, json_sprintf("and %u more", all - findings->lines));
	return lines;
}

json_t *json_time(uint64_t seconds)
{
	char text[32];
	struct tm tm;
	time_t when = (time_t)seconds;
	if (seconds == 0 || !gmtime_r(&when, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

// --- the end of a call ---

static void finish(struct call *call, json_t *reply)
{
	call->done(call->ctx, reply);
	free(call->words);
	free(call);
}

static json_t *reply_new(bool ok)
{
	json_t *reply = json_object();
	json_object_set_new(reply, "v", json_integer(CTL_VERSION));
	json_object_set_new(reply, "ok", json_boolean(ok));
	return reply;
}

void call_reply(struct call *call, json_t *data, const char *const *show)
{
	json_t *reply = reply_new(true);
	json_object_set_new(reply, "data", data);
	if (show) {
		json_t *names = json_array();
		for (; *show; show++)
			json_array_append_new(names, json_string(*show));
		json_object_set_new(reply, "show", names);
	}
	if (call->next)
		json_object_set_new(reply, "next", call->next);
	finish(call, reply);
}

void call_next(struct call *call, json_t *words)
{
	call->next = words;
}

static json_t *refusal(const char *format, va_list args)
{
	char text[1024];
	vsnprintf(text, sizeof(text), format, args);
	json_t *reply = reply_new(false);
	json_object_set_new(reply, "error", json_text(text));
	return reply;
}

void call_refuse(struct call *call, json_t *details, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	json_t *reply = refusal(format, args);
	va_end(args);
	if (details)
		json_object_set_new(reply, "details", details);
	finish(call, reply);
}

static json_t *usage_line(const struct command *command)
{
	return json_sprintf("%s%s%s", command->words, *command->arguments ? " " : "", command->arguments);
}

void call_misused(struct call *call, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	json_t *reply = refusal(format, args);
	va_end(args);
	json_t *usage = json_array();
	if (call->command)
		json_array_append_new(usage, usage_line(call->command));
	for (unsigned i = 0; !call->command && i < command_count; i++) {
		size_t bytes = call->word_count ? strlen(call->word[0]) : 0;
		if (bytes && strncmp(commands[i].words, call->word[0], bytes) == 0)
			json_array_append_new(usage, usage_line(&commands[i]));
	}
	if (json_array_size(usage) == 0)
		json_array_append_new(usage, json_string("help"));
	json_object_set_new(reply, "usage", usage);
	finish(call, reply);
}

// --- the beginning ---

static bool add_words(struct call *call, char *text)
{
	for (char *word; (word = strsep(&text, " \t"));) {
		if (*word == '\0')
			continue;
		if (call->word_count == WORDS_MAX)
			return false;
		call->word[call->word_count++] = word;
	}
	return true;
}

// All words of the request in one list: "command" is split at its spaces, each of "args" is one word. What
// is wrong with it, or NULL.
static const char *take_words(struct call *call, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	const json_t *args = json_object_get(request, "args");
	const json_t *version = json_object_get(request, "v");
	if (!json_is_object(request))
		return "a request is one JSON object on one line";
	if (version && json_integer_value(version) != CTL_VERSION)
		return "this server speaks version 1 of the protocol";
	if (!command)
		return "a request names its \"command\", a string";
	if (args && !json_is_array(args))
		return "\"args\" is an array of strings";
	size_t room = strlen(command) + 1;
	for (size_t i = 0; i < json_array_size(args); i++) {
		if (!json_is_string(json_array_get(args, i)))
			return "\"args\" is an array of strings";
		room += json_string_length(json_array_get(args, i)) + 1;
	}
	char *to = call->words = malloc(room);
	if (!to)
		return "out of memory";
	to = stpcpy(to, command) + 1;
	if (!add_words(call, call->words))
		return "too many words";
	for (size_t i = 0; i < json_array_size(args); i++) {
		if (call->word_count == WORDS_MAX)
			return "too many words";
		call->word[call->word_count++] = to;
		to = stpcpy(to, json_string_value(json_array_get(args, i))) + 1;
	}
	return NULL;
}

// How many words of the call are the command's; 0: it is another one.
static unsigned match(const struct command *command, const struct call *call)
{
	const char *at = command->words;
	for (unsigned i = 0; i < call->word_count; i++) {
		size_t bytes = strcspn(at, " ");
		if (strlen(call->word[i]) != bytes || memcmp(call->word[i], at, bytes) != 0)
			return 0;
		if (at[bytes] == '\0')
			return i + 1;
		at += bytes + 1;
	}
	return 0;
}

static void find_command(struct call *call)
{
	for (unsigned i = 0; i < command_count; i++) {
		unsigned words = match(&commands[i], call);
		if (words > call->command_words) {
			call->command = &commands[i];
			call->command_words = words;
		}
	}
}

static unsigned count_words(const char *text)
{
	unsigned count = 0;
	for (; *text; text++)
		count += *text != ' ' && (text[1] == ' ' || text[1] == '\0');
	return count;
}

// Those in front of the first that may be left out.
static unsigned required_words(const char *arguments)
{
	const char *optional = strchr(arguments, '[');
	return count_words(arguments) - (optional ? count_words(optional) : 0);
}

static void log_writing(const struct call *call, const char *who)
{
	char line[512] = "";
	for (unsigned i = 0; i < call->word_count; i++) {
		strlcat(line, i ? " " : "", sizeof(line));
		strlcat(line, call->word[i], sizeof(line));
	}
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	log_info("command of %s: %s", who, line);
}

static void run(struct call *call, const char *who, enum right right)
{
	const struct command *command = call->command;
	if (command->right > right) {
		log_warning("%s may not use the command: %s", who, command->words);
		call_refuse(call, NULL, "%s: you may only use commands that change nothing (access.monitoring)", command->words);
		return;
	}
	bool any_number = strstr(command->arguments, "...");
	if (!any_number && call_arg_count(call) > count_words(command->arguments)) {
		call_misused(call, "%s: unexpected '%s'", command->words,
			call_arg(call, count_words(command->arguments)));
		return;
	}
	if (call_arg_count(call) < required_words(command->arguments)) {
		call_misused(call, "%s: %s is missing", command->words, command->arguments);
		return;
	}
	if (command->right == RIGHT_WRITE)
		log_writing(call, who);
	command->run(call);
}

void commands_run(struct control *control, const json_t *request, const char *who, enum right right, call_done *done,
	void *ctx)
{
	struct call *call = calloc(1, sizeof(*call));
	if (!call) {
		done(ctx, NULL);
		return;
	}
	call->control = control;
	call->done = done;
	call->ctx = ctx;
	const char *wrong = take_words(call, request);
	if (wrong) {
		call_refuse(call, NULL, "%s", wrong);
		return;
	}
	find_command(call);
	if (call->command)
		run(call, who, right);
	else if (call->word_count == 0)
		call_misused(call, "no command");
	else
		call_misused(call, "no such command: %s%s%s", call->word[0], call->word_count > 1 ? " " : "",
			call->word_count > 1 ? call->word[1] : "");
}

// --- simple commands ---

static json_t *describe(const struct command *command)
{
	return json_pack("{s:s, s:s, s:s}", "command", command->words, "arguments", command->arguments, "help",
		command->help);
}

void command_help(struct call *call)
{
	char only[256] = "";
	for (unsigned i = 0; i < call_arg_count(call); i++) {
		strlcat(only, i ? " " : "", sizeof(only));
		strlcat(only, call_arg(call, i), sizeof(only));
	}
	json_t *list = json_array();
	for (unsigned i = 0; i < command_count; i++) {
		if (strncmp(commands[i].words, only, strlen(only)) == 0)
			json_array_append_new(list, describe(&commands[i]));
	}
	if (json_array_size(list) > 0) {
		call_reply(call, list, NULL);
		return;
	}
	json_decref(list);
	call_misused(call, "no such command: %s", only);
}

void command_log_level(struct call *call)
{
	const char *text = call_arg(call, 0);
	enum log_level level;
	if (text && log_level_from_text(&level, text) != ST_OK) {
		call_misused(call, "log level: no such level '%s'", text);
		return;
	}
	if (text)
		log_set_level(level);
	call_reply(call, json_pack("{s:s}", "level", log_level_name[log_get_level()]), NULL);
}

void command_stop(struct call *call)
{
	control_end_loop(call_control(call));
	call_reply(call, json_pack("{s:s}", "result", "pollux-control is stopping"), NULL);
}

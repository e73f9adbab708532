// SPDX-License-Identifier: BSD-3-Clause
// polluxctl: words -> control socket -> text or JSON. It knows no command: the server's table does.
#include <errno.h>
#include <getopt.h>
#include <histedit.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include <pollux/config.h>
#include <pollux/ctl.h>

#include "render.h"

#define TIMEOUT_DEFAULT_S 300 // a reload waits for its zone, and zones may be large
#define HISTORY_LINES 500

static const char usage_text[] =
	"usage: polluxctl [OPTION...] [COMMAND [ARGUMENT...]]\n"
	"\n"
	"Asks a running pollux-control, which also knows the commands: 'polluxctl help' lists them all, 'polluxctl help\n"
	"zone' those that begin with zone. Without a command, on a terminal, it reads commands line by line, with history\n"
	"and completion.\n"
	"\n"
	"  -s, --socket PATH      the control socket (default " CTL_SOCKET_DEFAULT ")\n"
	"  -c, --config FILE      take the path of the control socket from this configuration\n"
	"  -j, --json             print the reply's data as JSON\n"
	"  -t, --timeout SECONDS  wait so long for a reply (default 300)\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no server.\n";

struct options {
	const char *socket_path;
	const char *config_path;
	bool json;
	int timeout_s;
};

// --- one request ---

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void explain_no_server(const char *path, int cause)
{
	const char *hint = "see its log";
	if (cause == ENOENT)
		hint = "is pollux-control running? 'systemctl status pollux-control' tells; --socket or --config names another one";
	else if (cause == ECONNREFUSED)
		hint = "nobody listens there any more: pollux-control has ended; start it again";
	else if (cause == EACCES || cause == EPERM)
		hint = "only root and the socket's group may; try sudo";
	fprintf(stderr, "polluxctl: %s: %s\n  %s\n", path, strerror(cause), hint);
}

static int connect_to(const struct options *options)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = options->timeout_s };
	if (strlcpy(address.sun_path, options->socket_path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

static bool send_all(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		text += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static bool send_request(int fd, char *const *words, int count)
{
	json_t *args = json_array();
	for (int i = 1; i < count; i++)
		json_array_append_new(args, json_string(words[i]));
	json_t *request = json_pack("{s:i, s:s, s:o}", "v", CTL_VERSION, "command", words[0], "args", args);
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	bool sent = line && send_all(fd, line, strlen(line)) && send_all(fd, "\n", 1);
	if (!request)
		errno = EILSEQ; // jansson takes UTF-8 only
	int cause = errno;
	free(line);
	json_decref(request);
	errno = cause;
	return sent;
}

struct line {
	char *text;
	size_t bytes, room;
};

static bool grow(struct line *line)
{
	if (line->bytes < line->room)
		return true;
	size_t room = line->room ? line->room * 2 : 65536;
	if (room > 2 * (size_t)CTL_MAX_REPLY_BYTES) {
		errno = EMSGSIZE;
		return false;
	}
	char *text = realloc(line->text, room);
	if (!text)
		return false;
	line->text = text;
	line->room = room;
	return true;
}

// Reads up to the newline; errno says why not. The caller frees line->text.
static bool read_line(int fd, struct line *line, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = now_ms();
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int ready = now < deadline_ms ? poll(&wait, 1, (int)(deadline_ms - now)) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0)
			errno = ETIMEDOUT;
		if (ready <= 0 || !grow(line))
			return false;
		ssize_t got = recv(fd, line->text + line->bytes, line->room - line->bytes, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ECONNRESET;
		if (got <= 0)
			return false;
		const char *end = memchr(line->text + line->bytes, '\n', (size_t)got);
		line->bytes += (size_t)got;
		if (end) {
			line->bytes = (size_t)(end - line->text);
			return true;
		}
	}
}

// The reply to these words, or NULL with *exit_code set and the reason told.
static json_t *ask(const struct options *options, char *const *words, int count, int *exit_code)
{
	*exit_code = CTL_EXIT_NO_SERVER;
	int fd = connect_to(options);
	if (fd < 0) {
		explain_no_server(options->socket_path, errno);
		return NULL;
	}
	struct line line = { 0 };
	json_t *reply = NULL;
	if (!send_request(fd, words, count) || !read_line(fd, &line, now_ms() + (uint64_t)options->timeout_s * 1000)) {
		if (errno == EILSEQ) {
			fprintf(stderr, "polluxctl: the words are not UTF-8\n");
			*exit_code = CTL_EXIT_USAGE;
		} else if (errno == ETIMEDOUT) {
			fprintf(stderr, "polluxctl: no reply within %d s (--timeout)\n", options->timeout_s);
		} else {
			fprintf(stderr, "polluxctl: the connection ended without a reply: %s\n", strerror(errno));
		}
	} else {
		reply = json_loadb(line.text, line.bytes, 0, NULL);
		if (!json_is_object(reply)) {
			fprintf(stderr, "polluxctl: %s: the reply is no JSON object; another program's socket?\n",
				options->socket_path);
			json_decref(reply);
			reply = NULL;
		}
	}
	free(line.text);
	close(fd);
	return reply;
}

// --- what came back ---

static void print_lines(FILE *to, const char *before, const json_t *lines)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		fputs(before, to);
		render(to, json_array_get(lines, i), NULL);
	}
}

static int print_refusal(const json_t *reply)
{
	const json_t *usage = json_object_get(reply, "usage"), *error = json_object_get(reply, "error");
	fputs("polluxctl: ", stderr);
	if (json_is_string(error))
		render(stderr, error, NULL);
	else
		fputs("refused\n", stderr);
	print_lines(stderr, "  ", json_object_get(reply, "details"));
	print_lines(stderr, "usage: polluxctl ", usage);
	return usage ? CTL_EXIT_USAGE : CTL_EXIT_REFUSED;
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

static int print_reply(const struct options *options, const json_t *reply)
{
	if (json_is_true(json_object_get(reply, "ok"))) {
		if (options->json)
			print_json(json_object_get(reply, "data"));
		else
			render(stdout, json_object_get(reply, "data"), json_object_get(reply, "show"));
		return fflush(stdout) == 0 ? CTL_EXIT_OK : CTL_EXIT_REFUSED;
	}
	if (options->json)
		print_json(reply);
	return print_refusal(reply);
}

// A server hands out a long list piece by piece; each names the words that ask for the next one.
static json_t *ask_next(const struct options *options, const json_t *next, int *exit_code)
{
	char *words[64];
	int count = 0;
	for (size_t i = 0; i < json_array_size(next) && i < 64; i++) {
		const char *word = json_string_value(json_array_get(next, i));
		if (word)
			words[count++] = (char *)word;
	}
	*exit_code = CTL_EXIT_REFUSED;
	return count ? ask(options, words, count, exit_code) : NULL;
}

static json_t *ask_all(const struct options *options, char *const *words, int count, int *exit_code)
{
	json_t *reply = ask(options, words, count, exit_code), *rows = json_object_get(reply, "data"), *next;
	while (reply && (next = json_incref(json_object_get(reply, "next")))) {
		json_t *more = ask_next(options, next, exit_code);
		json_object_del(reply, "next");
		json_decref(next);
		if (!more || !json_is_true(json_object_get(more, "ok"))) {
			json_decref(reply);
			return more;
		}
		json_array_extend(rows, json_object_get(more, "data"));
		if (json_object_get(more, "next"))
			json_object_set(reply, "next", json_object_get(more, "next"));
		json_decref(more);
	}
	return reply;
}

static int run_words(const struct options *options, char *const *words, int count)
{
	int exit_code;
	json_t *reply = ask_all(options, words, count, &exit_code);
	if (!reply)
		return exit_code;
	exit_code = print_reply(options, reply);
	json_decref(reply);
	return exit_code;
}

// --- interactive ---

struct shell {
	EditLine *editor;
	History *history;
	json_t *table; // of commands, for completion; NULL: not known
};

static const char *prompt(EditLine *editor)
{
	(void)editor;
	return "pollux> ";
}

static void load_table(struct shell *shell, const struct options *options)
{
	char *words[] = { (char *)"help" };
	int exit_code;
	json_t *reply = ask(options, words, 1, &exit_code);
	shell->table = reply ? json_incref(json_object_get(reply, "data")) : NULL;
	json_decref(reply);
}

// How far the line is completed in only one way, and how many commands begin with it.
static size_t complete_line(const json_t *table, const char *line, size_t bytes, char *to, size_t room)
{
	size_t fits = 0;
	for (size_t i = 0; i < json_array_size(table); i++) {
		const char *words = json_string_value(json_object_get(json_array_get(table, i), "command"));
		if (!words || strncmp(words, line, bytes) != 0)
			continue;
		if (fits++ == 0) {
			strlcpy(to, words, room);
			continue;
		}
		size_t same = 0;
		while (to[same] && to[same] == words[same])
			same++;
		to[same] = '\0';
	}
	return fits;
}

static void list_candidates(const json_t *table, const char *line, size_t bytes)
{
	putchar('\n');
	for (size_t i = 0; i < json_array_size(table); i++) {
		const json_t *row = json_array_get(table, i);
		const char *words = json_string_value(json_object_get(row, "command"));
		const char *arguments = json_string_value(json_object_get(row, "arguments"));
		if (words && strncmp(words, line, bytes) == 0)
			printf("%s %s\n", words, arguments ? arguments : "");
	}
}

static unsigned char on_tab(EditLine *editor, int key)
{
	(void)key;
	struct shell *shell;
	el_get(editor, EL_CLIENTDATA, &shell);
	const LineInfo *info = el_line(editor);
	size_t bytes = (size_t)(info->cursor - info->buffer);
	char to[256];
	size_t fits = complete_line(shell->table, info->buffer, bytes, to, sizeof(to));
	if (fits == 0)
		return CC_ERROR;
	if (strlen(to) > bytes)
		return el_insertstr(editor, to + bytes) == 0 ? CC_REFRESH : CC_ERROR;
	if (fits == 1)
		return el_insertstr(editor, " ") == 0 ? CC_REFRESH : CC_ERROR;
	list_candidates(shell->table, info->buffer, bytes);
	return CC_REDISPLAY;
}

static char *history_path(void)
{
	const char *home = getenv("HOME");
	char *path = NULL;
	if (home && asprintf(&path, "%s/.polluxctl_history", home) < 0)
		return NULL;
	return path;
}

static bool open_shell(struct shell *shell, const struct options *options, const char *path)
{
	HistEvent event;
	shell->editor = el_init("polluxctl", stdin, stdout, stderr);
	shell->history = history_init();
	if (!shell->editor || !shell->history)
		return false;
	history(shell->history, &event, H_SETSIZE, HISTORY_LINES);
	history(shell->history, &event, H_SETUNIQUE, 1);
	if (path)
		history(shell->history, &event, H_LOAD, path);
	load_table(shell, options);
	el_set(shell->editor, EL_CLIENTDATA, shell);
	el_set(shell->editor, EL_PROMPT, prompt);
	el_set(shell->editor, EL_HIST, history, shell->history);
	el_set(shell->editor, EL_EDITOR, "emacs");
	el_set(shell->editor, EL_SIGNAL, 1);
	el_set(shell->editor, EL_ADDFN, "complete-command", "complete the command", on_tab);
	el_set(shell->editor, EL_BIND, "^I", "complete-command", NULL);
	el_source(shell->editor, NULL);
	return true;
}

static void close_shell(struct shell *shell, const char *path)
{
	HistEvent event;
	if (shell->history && path)
		history(shell->history, &event, H_SAVE, path);
	if (shell->history)
		history_end(shell->history);
	if (shell->editor)
		el_end(shell->editor);
	json_decref(shell->table);
}

static bool run_shell_line(const struct options *options, const char *text)
{
	Tokenizer *tokenizer = tok_init(NULL);
	int count = 0;
	const char **words = NULL;
	bool go_on = true;
	if (!tokenizer || tok_str(tokenizer, text, &count, &words) != 0)
		fprintf(stderr, "polluxctl: a quote is not closed\n");
	else if (count == 1 && (strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0))
		go_on = false;
	else if (count > 0)
		run_words(options, (char *const *)words, count);
	if (tokenizer)
		tok_end(tokenizer);
	return go_on;
}

static int run_shell(const struct options *options)
{
	struct shell shell = { 0 };
	char *path = history_path();
	const char *text;
	int bytes;
	bool go_on = open_shell(&shell, options, path);
	if (go_on)
		puts("'help' lists the commands, 'quit' leaves.");
	while (go_on && (text = el_gets(shell.editor, &bytes)) && bytes > 0) {
		HistEvent event;
		if (strspn(text, " \t\n") < (size_t)bytes)
			history(shell.history, &event, H_ENTER, text);
		go_on = run_shell_line(options, text);
	}
	close_shell(&shell, path);
	free(path);
	return CTL_EXIT_OK;
}

// --- options ---

static bool read_timeout(struct options *options, const char *text)
{
	const char *wrong;
	options->timeout_s = (int)strtonum(text, 1, 86400, &wrong);
	if (wrong)
		fprintf(stderr, "polluxctl: --timeout %s: %s; seconds from 1 to 86400\n", text, wrong);
	return !wrong;
}

// Whether this long option is one of ours, perhaps abbreviated, perhaps with its value.
static bool is_known(const struct option *known, const char *name)
{
	size_t bytes = strcspn(name, "=");
	for (; known->name; known++) {
		if (bytes == 0 || strncmp(known->name, name, bytes) == 0)
			return true;
	}
	return false;
}

// "query www.example.com --trace": behind the command's first word, a long option that is not ours is a word of the command. It
// loses its dashes, so that getopt lets it stand.
static void leave_words_alone(const struct option *known, int argc, char **argv)
{
	bool in_command = false;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (in_command && strncmp(argv[i], "--", 2) == 0 && !is_known(known, argv[i] + 2))
			argv[i] += 2;
		else if (strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "-t") == 0 ||
			strcmp(argv[i], "--socket") == 0 || strcmp(argv[i], "--config") == 0 || strcmp(argv[i], "--timeout") == 0)
			i++;
		else if (argv[i][0] != '-')
			in_command = true;
	}
}

// True when the program goes on; else *exit_code is how it ends.
static bool read_options(struct options *options, int argc, char **argv, int *exit_code)
{
	static const struct option known[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	*options = (struct options){ .timeout_s = TIMEOUT_DEFAULT_S };
	*exit_code = CTL_EXIT_OK;
	leave_words_alone(known, argc, argv);
	for (int c; (c = getopt_long(argc, argv, "s:c:jt:hV", known, NULL)) != -1;) {
		if (c == 's') {
			options->socket_path = optarg;
		} else if (c == 'c') {
			options->config_path = optarg;
		} else if (c == 'j') {
			options->json = true;
		} else if (c == 'h') {
			fputs(usage_text, stdout);
			return false;
		} else if (c == 'V') {
			puts("polluxctl " POLLUX_VERSION);
			return false;
		} else if (c != 't' || !read_timeout(options, optarg)) {
			*exit_code = CTL_EXIT_USAGE;
		}
	}
	if (*exit_code != CTL_EXIT_OK)
		fputs("Try 'polluxctl --help'.\n", stderr);
	return *exit_code == CTL_EXIT_OK;
}

static void line_to_stderr(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	if (severity == SEVERITY_ERROR) // the server says the warnings
		report_to_stream(stderr, severity, file, line, column, text);
}

static bool find_socket(struct options *options, struct config **config)
{
	if (options->config_path && !options->socket_path) {
		struct report report = { .emit = line_to_stderr };
		if (config_read(config, options->config_path, &report) != ST_OK)
			return false;
		options->socket_path = (*config)->control_socket;
	}
	if (!options->socket_path)
		options->socket_path = CTL_SOCKET_DEFAULT;
	return true;
}

int main(int argc, char **argv)
{
	struct options options;
	struct config *config = NULL;
	int exit_code;
	if (!read_options(&options, argc, argv, &exit_code))
		return exit_code;
	if (!find_socket(&options, &config))
		return CTL_EXIT_USAGE;
	if (optind < argc) {
		exit_code = run_words(&options, argv + optind, argc - optind);
	} else if (isatty(STDIN_FILENO)) {
		exit_code = run_shell(&options);
	} else {
		fputs(usage_text, stderr);
		exit_code = CTL_EXIT_USAGE;
	}
	config_free(config);
	return exit_code;
}

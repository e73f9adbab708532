// SPDX-License-Identifier: BSD-3-Clause
// pollux-control: options, one process per instance, signals. What it does is put together in control.c.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libutil.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include <pollux/log.h>

#include "control.h"

#define CONFIG_DEFAULT "/etc/pollux/pollux.conf"
#define DESCRIPTORS_SPARE 256 // beside those of TCP clients and waiting questions

static const char usage_text[] =
	"usage: pollux-control [--config FILE]\n"
	"\n"
	"Loads the zones, answers TCP clients and whatever the dataplane cannot answer itself, and listens to\n"
	"polluxctl. Stays in the foreground; logs to stderr or syslog, as the configuration says.\n"
	"\n"
	"  -c, --config FILE  the configuration (default " CONFIG_DEFAULT ")\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"signals: SIGTERM, SIGINT stop it; SIGHUP reads the configuration and changed zone files again.\n"
	"exit status: 0 stopped as asked, 1 could not start, 2 wrong usage.\n";

struct options {
	const char *config_path;
};

// True when the process goes on; else *exit_code is how it ends.
static bool read_options(struct options *options, int argc, char **argv, int *exit_code)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	*options = (struct options){ .config_path = CONFIG_DEFAULT };
	*exit_code = 0;
	for (int c; (c = getopt_long(argc, argv, "c:hV", known, NULL)) != -1;) {
		if (c == 'c') {
			options->config_path = optarg;
		} else if (c == 'h') {
			fputs(usage_text, stdout);
			return false;
		} else if (c == 'V') {
			puts("pollux-control " POLLUX_VERSION);
			return false;
		} else {
			*exit_code = 2;
		}
	}
	if (*exit_code == 0 && optind < argc) {
		fprintf(stderr, "pollux-control: unexpected argument '%s'\n", argv[optind]);
		*exit_code = 2;
	}
	if (*exit_code != 0)
		fputs("Try 'pollux-control --help'.\n", stderr);
	return *exit_code == 0;
}

// A reload, and whoever reads the log, must find the file wherever they stand.
static bool make_absolute(char *to, size_t room, const char *path)
{
	char here[PATH_MAX];
	if (*path == '/')
		return strlcpy(to, path, room) < room;
	return getcwd(here, sizeof(here)) && snprintf(to, room, "%s/%s", here, path) < (int)room;
}

// Every directory on the way, like mkdir -p.
static bool make_directory(const char *path)
{
	char part[PATH_MAX];
	if (strlcpy(part, path, sizeof(part)) >= sizeof(part))
		return false;
	for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return false;
		*slash = '/';
	}
	return mkdir(part, 0755) == 0 || errno == EEXIST;
}

// The pid file is locked as long as its process lives, so one left by a killed process stops nobody.
static struct pidfh *claim_instance(const struct config *config)
{
	char path[PATH_MAX];
	if (!make_directory(config->runtime_dir)) {
		log_error("%s: cannot make the runtime directory: %s", config->runtime_dir, strerror(errno));
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/control.pid", config->runtime_dir);
	pid_t other = 0;
	struct pidfh *file = pidfile_open(path, 0644, &other);
	if (!file && errno == EEXIST)
		log_error("%s: pollux-control runs already for this instance, as process %d", path, (int)other);
	else if (!file)
		log_error("%s: %s", path, strerror(errno));
	else
		pidfile_write(file);
	return file;
}

// TCP clients and forwarded questions need descriptors; the usual soft limit of 1024 is soon reached.
static void allow_descriptors(const struct config *config)
{
	struct rlimit limit;
	// 32 questions share a socket; the worst case of one each is not worth as many descriptors.
	rlim_t wanted = (rlim_t)config->tcp_max_clients + 2 * (rlim_t)config->forward_max_open + DESCRIPTORS_SPARE;
	if (config->recursion) // a thread has contexts for those who validate and those who do not
		wanted += 2 * (rlim_t)config->recursion_threads * config->recursion_sockets;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("cannot raise the limit of open files: %s", strerror(errno));
	else if (limit.rlim_cur < config->tcp_max_clients + DESCRIPTORS_SPARE)
		log_warning("the limit of %llu open files is too low for tcp.max-clients %u",
			(unsigned long long)limit.rlim_cur, config->tcp_max_clients);
}

static void line_to_stderr(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	report_to_stream(stderr, severity, file, line, column, text);
}

static void on_stop_signal(evutil_socket_t number, short what, void *ctx)
{
	(void)what;
	log_info("%s: stopping", strsignal(number));
	control_end_loop(ctx);
}

static void log_restart_key(void *ctx, const char *key)
{
	(void)ctx;
	log_warning("%s was changed, but takes effect at the next start only", key);
}

static void say_errors(const struct report *report)
{
	log_error("the configuration has errors (%u); the running one goes on", report->errors);
}

static void reloaded(void *ctx, const struct publish_result *result)
{
	if (!result)
		say_errors(ctx);
}

static void on_reload_signal(evutil_socket_t number, short what, void *ctx)
{
	(void)number;
	(void)what;
	struct control *control = ctx;
	static struct report report; // stays until reloaded()
	if (control->reload) {
		log_warning("another reload of the configuration is under way");
		return;
	}
	report = (struct report){ .emit = control_log_finding };
	log_info("reading %s again", control_config_path(control));
	if (control_reload(control, &report, log_restart_key, reloaded, &report) != ST_OK)
		say_errors(&report);
}

struct signals {
	struct event *term, *interrupt, *hangup;
};

static bool catch_signals(struct signals *signals, struct control *control, struct event_base *base)
{
	signals->term = evsignal_new(base, SIGTERM, on_stop_signal, control);
	signals->interrupt = evsignal_new(base, SIGINT, on_stop_signal, control);
	signals->hangup = evsignal_new(base, SIGHUP, on_reload_signal, control);
	signal(SIGPIPE, SIG_IGN);
	return signals->term && signals->interrupt && signals->hangup && event_add(signals->term, NULL) == 0 &&
		event_add(signals->interrupt, NULL) == 0 && event_add(signals->hangup, NULL) == 0;
}

static void release_signals(struct signals *signals)
{
	struct event *all[] = { signals->term, signals->interrupt, signals->hangup };
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i])
			event_free(all[i]);
	}
}

static struct event_base *new_base(void)
{
	struct event_config *how = event_config_new();
	if (!how)
		return NULL;
	// One thread runs the loop; loaders wake it through a descriptor.
	event_config_set_flag(how, EVENT_BASE_FLAG_NOLOCK);
	// By the kernel's coarse clock a millisecond would become one tick or two: up to 8.
	event_config_set_flag(how, EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(how);
	event_config_free(how);
	return base;
}

static int serve(struct config *config)
{
	struct event_base *base = new_base();
	struct signals signals = { 0 };
	struct control control;
	int exit_code = EXIT_FAILURE;
	if (!base) {
		log_error("no event loop: %s", strerror(errno));
		config_free(config);
		return EXIT_FAILURE;
	}
	if (control_start(&control, base, config) == ST_OK && catch_signals(&signals, &control, base)) {
		log_info("pollux-control " POLLUX_VERSION " serves %s, regions in %s", control_config_path(&control),
			control.directory);
		sd_notify(0, "READY=1");
		exit_code = event_base_dispatch(base) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		sd_notify(0, "STOPPING=1");
	}
	control_stop(&control);
	release_signals(&signals);
	event_base_free(base);
	libevent_global_shutdown();
	return exit_code;
}

int main(int argc, char **argv)
{
	struct options options;
	int exit_code;
	if (!read_options(&options, argc, argv, &exit_code))
		return exit_code;
	struct report report = { .emit = line_to_stderr };
	struct config *config;
	char path[PATH_MAX];
	if (!make_absolute(path, sizeof(path), options.config_path)) {
		fprintf(stderr, "pollux-control: %s: the path is too long\n", options.config_path);
		return EXIT_FAILURE;
	}
	if (config_read(&config, path, &report) != ST_OK) {
		fprintf(stderr, "pollux-control: %s: not started, errors: %u\n", path, report.errors);
		return EXIT_FAILURE;
	}
	log_open("pollux-control", config->log_target);
	log_set_level(config->log_level);
	struct pidfh *pidfile = claim_instance(config);
	if (!pidfile) {
		config_free(config);
		return EXIT_FAILURE;
	}
	allow_descriptors(config);
	exit_code = serve(config);
	log_info("stopped");
	pidfile_remove(pidfile);
	return exit_code;
}

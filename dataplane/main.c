// SPDX-License-Identifier: BSD-3-Clause
// pollux-dataplane: start order and end, nothing else.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_launch.h>
#include <rte_lcore.h>
#include <systemd/sd-daemon.h>

#include <pollux/config.h>
#include <pollux/log.h>

#include "eal.h"
#include "port.h"
#include "regions.h"
#include "replay.h"
#include "rights.h"
#include "worker.h"

enum { EXIT_USAGE = 2, KEEP_EVERY_NS = 10000000 };

static const char usage[] =
	"Usage: pollux-dataplane --config FILE\n"
	"       pollux-dataplane --config FILE --replay IN.pcap OUT.pcap [--cache FILE] [--json]\n"
	"\n"
	"Answers DNS queries from the zones that pollux-control publishes, on the NIC ports of the\n"
	"configuration. Runs until SIGTERM or SIGINT.\n"
	"\n"
	"  -c, --config FILE    the configuration (YAML), see pollux.conf(5)\n"
	"  -r, --replay IN OUT  read frames from a pcap file instead of a port, write the answers to "
	"another\n"
	"                       one, print the counters, and end\n"
	"  -C, --cache FILE     let a replay answer from this cache region, too; its time stands still\n"
	"  -j, --json           print the counters of a replay as JSON\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n";

struct options {
	const char *config, *replay_in, *replay_out, *cache;
	bool json;
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "replay", required_argument, NULL, 'r' },
	{ "cache", required_argument, NULL, 'C' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void wrong_usage(const char *what)
{
	fprintf(stderr, "pollux-dataplane: %s\n%s", what, usage);
	exit(EXIT_USAGE);
}

static struct options read_options(int argc, char **argv)
{
	struct options options = { .config = NULL };
	int option;
	while ((option = getopt_long(argc, argv, "c:r:C:jhV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.config = optarg;
			break;
		case 'r':
			options.replay_in = optarg;
			break;
		case 'C':
			options.cache = optarg;
			break;
		case 'j':
			options.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			puts("pollux-dataplane " POLLUX_VERSION);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			exit(EXIT_USAGE);
		}
	}
	if (!options.config)
		wrong_usage("no configuration given");
	if (options.replay_in && optind < argc)
		options.replay_out = argv[optind++];
	if (options.replay_in && !options.replay_out)
		wrong_usage("--replay needs two files");
	if (optind < argc)
		wrong_usage("too many arguments");
	if (options.json && !options.replay_in)
		wrong_usage("--json belongs to --replay");
	if (options.cache && !options.replay_in)
		wrong_usage("--cache belongs to --replay");
	return options;
}

struct dataplane {
	const struct config *config;
	struct house house;
	struct regions regions;
	struct port port[PORTS_MAX];
	unsigned ports_started;
	struct worker *worker[WORKERS_MAX];
	unsigned workers_running;
};

static enum status check_room(const struct config *config)
{
	if (config->lcore_count == 0 || config->lcore_count > WORKERS_MAX) {
		log_error("dataplane.lcores: 1 to %u, not %u", WORKERS_MAX, config->lcore_count);
		return ST_INVALID;
	}
	if (config->port_count == 0 || config->port_count > PORTS_MAX) {
		log_error("ports: 1 to %u, not %u", PORTS_MAX, config->port_count);
		return ST_INVALID;
	}
	return ST_OK;
}

static enum status start_ports(struct dataplane *dataplane)
{
	const struct config *config = dataplane->config;
	for (unsigned p = 0; p < config->port_count; p++) {
		enum status status = port_start(
			&dataplane->port[p], config, p, config->lcore_count, dataplane->house.pool);
		if (status != ST_OK)
			return status;
		dataplane->ports_started++;
	}
	dataplane->house.ports = dataplane->port;
	dataplane->house.port_count = config->port_count;
	return ST_OK;
}

static enum status make_workers(struct dataplane *dataplane)
{
	const struct config *config = dataplane->config;
	for (unsigned w = 0; w < config->lcore_count; w++) {
		dataplane->worker[w] = worker_new(&dataplane->house, w, config->lcores[w]);
		if (!dataplane->worker[w]) {
			log_error("no memory for worker %u", w);
			return ST_NO_MEMORY;
		}
	}
	workers_deal(dataplane->worker, config->lcore_count, dataplane->port, config->port_count);
	for (unsigned w = 0; w < config->lcore_count; w++)
		if (!dataplane->worker[w]->lane_count)
			log_warning("dataplane.lcores: nothing to do for CPU %u, the ports have too few queues",
				config->lcores[w]);
	return ST_OK;
}

static enum status run_workers(struct dataplane *dataplane)
{
	for (unsigned w = 0; w < dataplane->config->lcore_count; w++) {
		if (rte_eal_remote_launch(worker_main, dataplane->worker[w], w + 1) != 0) {
			log_error("worker %u does not start", w);
			return ST_SYSTEM;
		}
		dataplane->workers_running++;
	}
	return ST_OK;
}

static enum status start(struct dataplane *dataplane, const struct config *config)
{
	dataplane->config = config;
	dataplane->house.idle_sleep_us = config->idle_sleep_us;
	dataplane->house.idle_after_us = config->idle_after_us;
	enum status status = check_room(config);
	if (status == ST_OK)
		status = regions_open(&dataplane->regions, &dataplane->house, config);
	if (status == ST_OK)
		status = eal_start(config, false);
	if (status == ST_OK && !(dataplane->house.pool = eal_pool(config)))
		status = ST_NO_MEMORY;
	if (status == ST_OK)
		status = start_ports(dataplane);
	if (status == ST_OK)
		status = make_workers(dataplane);
	if (status != ST_OK)
		return status;
	regions_announce(&dataplane->regions, &dataplane->house, dataplane->worker, config);
	return run_workers(dataplane);
}

static void stop(struct dataplane *dataplane)
{
	atomic_store(&dataplane->house.stop, true);
	for (unsigned w = 0; w < dataplane->workers_running; w++)
		rte_eal_wait_lcore(w + 1);
	for (unsigned p = 0; p < dataplane->ports_started; p++)
		port_stop(&dataplane->port[p]);
	regions_close(&dataplane->regions, &dataplane->house);
	eal_stop();
}

// To the next multiple of KEEP_EVERY_NS on the clock that cached answers expire by: with each second of it the workers'
// seconds change, too, as do those of control.
static struct timespec until_next_round(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct timespec){ .tv_nsec = KEEP_EVERY_NS - now.tv_nsec % KEEP_EVERY_NS };
}

// All signals are blocked in all threads; this one waits for them, 10 ms at a time: with one it took 1.4 % of an idle core.
static void keep_house(struct dataplane *dataplane, const sigset_t *signals)
{
	for (;;) {
		const struct timespec pause = until_next_round();
		int got = sigtimedwait(signals, NULL, &pause);
		if (got == SIGTERM || got == SIGINT) {
			log_info("stopping: %s", strsignal(got));
			return;
		}
		regions_keep(&dataplane->regions, &dataplane->house);
	}
}

static int run(const struct config *config)
{
	static struct dataplane dataplane;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP); // nothing to read again: control tells us what changes
	sigprocmask(SIG_BLOCK, &signals, NULL);
	rights_freeze();
	if (start(&dataplane, config) != ST_OK)
		return EXIT_FAILURE; // the kernel takes everything back
	rights_drop(rights_needed_at_end(config));
	log_info("ready: %u worker%s, %u port%s", config->lcore_count, config->lcore_count == 1 ? "" : "s",
		config->port_count, config->port_count == 1 ? "" : "s");
	sd_notify(0, "READY=1");
	keep_house(&dataplane, &signals);
	sd_notify(0, "STOPPING=1");
	stop(&dataplane);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv);
	struct report report = { .emit = report_to_stream };
	struct config *config;
	if (config_read(&config, options.config, &report) != ST_OK)
		return EXIT_FAILURE;
	log_open("pollux-dataplane", config->log_target);
	log_set_level(config->log_level);
	int code = options.replay_in ? replay(config, options.replay_in, options.replay_out, options.cache, options.json)
				     : run(config);
	config_free(config);
	return code;
}

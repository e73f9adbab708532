// SPDX-License-Identifier: BSD-3-Clause
// config check, config show, config reload.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <pollux/overrides.h>

#include "commands.h"

// A pipe or a device would keep the event loop waiting.
static bool is_regular_file(struct call *call, const char *path)
{
	struct stat info;
	if (*path != '/')
		call_misused(call, "config check: give the whole path, from the root directory on: '%s'", path);
	else if (stat(path, &info) != 0)
		call_refuse(call, NULL, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(info.st_mode))
		call_refuse(call, NULL, "%s: not a regular file", path);
	else
		return true;
	return false;
}

static void check_zone_list(const struct config *config, struct report *report, unsigned *count)
{
	struct zone_config *zones = NULL;
	unsigned errors = report->errors;
	if (config_zones(config, &zones, count, report) != ST_OK && report->errors == errors)
		report->errors++;
	zone_configs_free(zones, *count);
}

static void check_overrides(const struct config *config, struct report *report)
{
	struct override_rules *rules;
	unsigned errors = report->errors;
	if (config_overrides(config, &rules, report) != ST_OK && report->errors == errors)
		report->errors++;
	override_rules_free(rules);
}

static void add_key(void *ctx, const char *key)
{
	json_array_append_new(ctx, json_string(key));
}

void command_config_check(struct call *call)
{
	struct control *control = call_control(call);
	const char *path = call_arg(call, 0) ? call_arg(call, 0) : control_config_path(control);
	if (!is_regular_file(call, path))
		return;
	struct findings findings;
	struct config *config = NULL;
	unsigned zones = 0;
	findings_init(&findings);
	enum status status = config_read(&config, path, &findings.report);
	if (status == ST_OK) {
		check_zone_list(config, &findings.report, &zones);
		check_overrides(config, &findings.report);
		status = config_check_recursion(config, &findings.report);
	}
	if (status != ST_OK || findings.report.errors) {
		call_refuse(call, json_lines(&findings), "%s: errors: %u", path, findings.report.errors);
	} else {
		json_t *restart = json_array();
		config_needs_restart(control->start_config, config, add_key, restart);
		call_reply(call, json_pack("{s:o, s:s, s:i, s:o, s:o}", "file", json_text(path), "result", "no errors",
					 "zones", (int)zones, "needs_restart", restart, "warnings",
					 json_lines(&findings)), NULL);
	}
	config_free(config);
	findings_clear(&findings);
}

static json_t *config_text(const struct config *config)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);
	if (!to)
		return json_null();
	config_print(config, to);
	fclose(to);
	json_t *made = json_text(text);
	free(text);
	return made;
}

void command_config_show(struct call *call)
{
	struct control *control = call_control(call);
	json_t *restart = json_array();
	config_needs_restart(control->start_config, control->config, add_key, restart);
	call_reply(call, json_pack("{s:o, s:o, s:o, s:o}", "file", json_text(control_config_path(control)), "read",
				 json_time(control->configured_s), "needs_restart", restart, "configuration",
				 config_text(control->config)), NULL);
}

// A reload that a client waits for until its zones have been read.
struct renewal {
	struct call *call;
	struct findings findings;
	json_t *restart;
};

static void renewal_free(struct renewal *renewal)
{
	findings_clear(&renewal->findings);
	json_decref(renewal->restart);
	free(renewal);
}

static void note_restart(void *ctx, const char *key)
{
	struct renewal *renewal = ctx;
	add_key(renewal->restart, key);
}

static void add_findings(json_t *lines, const struct findings *findings)
{
	json_t *more = json_lines(findings);
	json_array_extend(lines, more);
	json_decref(more);
}

static void refuse_renewal(struct renewal *renewal, const char *path)
{
	call_refuse(renewal->call, json_lines(&renewal->findings), "%s: errors: %u; the running configuration goes on", path,
		renewal->findings.report.errors);
	renewal_free(renewal);
}

static void renewed(void *ctx, const struct publish_result *result)
{
	struct renewal *renewal = ctx;
	if (!result) {
		refuse_renewal(renewal, control_config_path(call_control(renewal->call)));
		return;
	}
	unsigned list_errors = result->list->report.errors;
	json_t *lines = json_lines(&renewal->findings);
	add_findings(lines, result->list);
	add_findings(lines, result->problems);
	if (result->failed || list_errors)
		call_refuse(renewal->call, lines, "the configuration was taken over, but zones failed: %u, errors in the zone list: %u; 'zone list failed' names them",
			result->failed, list_errors);
	else
		call_reply(renewal->call, json_pack("{s:s, s:i, s:i, s:i, s:O, s:o}", "result",
						  "the configuration was taken over", "zones_loaded",
						  (int)result->loaded, "zones_unchanged", (int)result->unchanged,
						  "zones_withdrawn", (int)result->withdrawn, "needs_restart",
						  renewal->restart, "warnings", lines), NULL);
	renewal_free(renewal);
}

void command_config_reload(struct call *call)
{
	struct control *control = call_control(call);
	struct renewal *renewal = calloc(1, sizeof(*renewal));
	if (!renewal) {
		call_refuse(call, NULL, "out of memory");
		return;
	}
	renewal->call = call;
	renewal->restart = json_array();
	findings_init(&renewal->findings);
	enum status status = control_reload(control, &renewal->findings.report, note_restart, renewed, renewal);
	if (status == ST_BUSY) {
		call_refuse(call, NULL, "another reload of the configuration is under way");
		renewal_free(renewal);
	} else if (status != ST_OK) {
		refuse_renewal(renewal, control_config_path(control));
	}
}

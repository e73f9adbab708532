// SPDX-License-Identifier: BSD-3-Clause
// Step: answers by rule, and the rules' way from the configuration into the zones region. The event loop's thread.
#pragma once

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/overrides.h>
#include <pollux/report.h>
#include <pollux/status.h>

struct resolver;

// At the start: reads the rules of the configuration and its overrides-file and puts them into the region. Bad ones are
// reported and left out, for there are none that could stay: then the status says so.
CHECKED enum status overrides_publish(struct resolver *, struct catalog *, const struct config *, struct report *);

// Called once, from the event loop. ST_OK: the fresh rules are in use. Else those of before are, and the report says why;
// ST_CANCELLED: the resolver ends.
typedef void overrides_done(void *ctx, enum status);
// While running: reads them in a thread, unless nothing of them has changed since `running`; then `done` is called before
// this returns. `fresh` and the report, to which the thread writes, stay until then. ST_BUSY: it is at it already,
// ST_SYSTEM: there is no thread; `done` will not be called.
CHECKED enum status overrides_reload(struct resolver *, struct catalog *, const struct config *running,
	const struct config *fresh, struct report *, overrides_done *, void *ctx);
// The rules in use; NULL: none.
const struct override_rules *overrides_rules(const struct resolver *);

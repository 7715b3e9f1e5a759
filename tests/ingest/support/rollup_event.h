/* An event that is looked at, found and counted at once. */
#ifndef TESTS_INGEST_SUPPORT_ROLLUP_EVENT_H
#define TESTS_INGEST_SUPPORT_ROLLUP_EVENT_H

#include "ingest/rollup_run.h"

/* REFUSED_RANGE, and nothing was counted. */
enum refusal rollup_event(struct rollup_runner *runner, size_t stream, const struct event *event);

#endif

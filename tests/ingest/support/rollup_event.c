#include "tests/ingest/support/rollup_event.h"

#include <stdlib.h>

#include "base/mem.h"

enum refusal rollup_event(struct rollup_runner *runner, size_t stream, const struct event *event)
{
    struct rollup_hit *hits = xcalloc(rollup_runner_hits(runner, stream) + 1, sizeof *hits);
    size_t n;
    enum refusal why = rollup_runner_look(runner, stream, event, hits, &n);
    if (!why) {
        rollup_runner_find(runner, hits, n);
        rollup_runner_count(runner, stream, event, hits, n);
    }
    free(hits);
    return why;
}

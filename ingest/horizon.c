#include "ingest/horizon.h"

#include <stdbool.h>

static bool raise_to(int64_t *value, int64_t to)
{
    bool raised = to > *value;
    if (raised)
        *value = to;
    return raised;
}

/* False: its streams have the same newest time. */
static bool share_newest(const struct lifecycle *lifecycle, int64_t *newest_ms)
{
    int64_t newest = INT64_MIN;
    bool raised = false;
    for (int s = 0; s < lifecycle->rules.n_stages; s++)
        raise_to(&newest, newest_ms[lifecycle->stages[s].stream]);
    for (int s = 0; s < lifecycle->rules.n_stages; s++)
        raised |= raise_to(&newest_ms[lifecycle->stages[s].stream], newest);
    return raised;
}

void horizons(
    const struct streams *streams, const int64_t *complete_ms, int64_t *newest_ms, int64_t *out)
{
    bool raised = true;
    while (raised) {
        raised = false;
        for (size_t l = 0; l < streams->n_lifecycles; l++)
            raised |= share_newest(&streams->lifecycles[l], newest_ms);
    }
    for (size_t s = 0; s < streams->n_streams; s++) {
        int64_t bound_ms = streams->streams[s].watermark_bound_ms;
        int64_t said_ms;
        if (__builtin_sub_overflow(newest_ms[s], bound_ms, &said_ms))
            said_ms = INT64_MIN;
        out[s] = said_ms < complete_ms[s] ? said_ms : complete_ms[s];
    }
}

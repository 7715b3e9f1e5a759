#include "ingest/horizon.h"

#include <stdbool.h>

static bool raise_to(int64_t *value, int64_t to)
{
    bool raised = to > *value;
    if (raised)
        *value = to;
    return raised;
}

/* False: its streams have said the same. */
static bool share(const struct lifecycle *lifecycle, int64_t *said_ms)
{
    int64_t latest = INT64_MIN;
    bool raised = false;
    for (int s = 0; s < lifecycle->rules.n_stages; s++)
        raise_to(&latest, said_ms[lifecycle->stages[s].stream]);
    for (int s = 0; s < lifecycle->rules.n_stages; s++)
        raised |= raise_to(&said_ms[lifecycle->stages[s].stream], latest);
    return raised;
}

void horizons(const struct streams *streams, const int64_t *complete_ms, const int64_t *newest_ms,
    int64_t *out)
{
    bool raised = true;
    for (size_t s = 0; s < streams->n_streams; s++)
        if (__builtin_sub_overflow(newest_ms[s], streams->streams[s].watermark_bound_ms, &out[s]))
            out[s] = INT64_MIN;
    while (raised) {
        raised = false;
        for (size_t l = 0; l < streams->n_lifecycles; l++)
            raised |= share(&streams->lifecycles[l], out);
    }
    for (size_t s = 0; s < streams->n_streams; s++)
        if (complete_ms[s] < out[s])
            out[s] = complete_ms[s];
}

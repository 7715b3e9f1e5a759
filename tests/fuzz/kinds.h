/* One metric of every kind: what the cells of the checkpoint target and of its seeds belong to.
 * Metric and series i are of kind i + 1. */
#ifndef TESTS_FUZZ_KINDS_H
#define TESTS_FUZZ_KINDS_H

#include "store/store.h"

#define KINDS 5

static inline struct metric_def kinds_def(uint32_t i)
{
    static const char *const names[KINDS] = {"counter", "histogram", "level", "gauge", "sample"};
    return (struct metric_def){.name = slice_from(names[i]),
        .kind = (enum kind)(i + 1),
        .schema = 5,
        .every_ms = i + 1 == KIND_SAMPLE ? 0 : 5000};
}

#endif

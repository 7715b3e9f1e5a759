/*
 * Prometheus' text exposition format, version 0.0.4, as /metrics writes it:
 *
 *     # HELP name text
 *     # TYPE name counter
 *     name{label="value"} 1
 */
#ifndef API_EXPOSITION_H
#define API_EXPOSITION_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* type: "counter", "gauge", "histogram", "summary". Samples follow. */
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);

struct exposition_label {
    const char *name;
    struct slice value;
};

/* suffix is put behind the name ("_sum"), "" for none. */
void exposition_sample(struct buf *out, const char *name, const char *suffix,
    const struct exposition_label *labels, size_t n, double v);

/* A family of one sample without labels. */
void exposition_one(
    struct buf *out, const char *name, const char *type, const char *help, double v);

#endif

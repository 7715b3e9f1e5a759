/*
 * larder.yml: everything that the program can be told. Checked whole, immutable; a reload makes
 * another one (reload.h). docs/config.md describes every key.
 */
#ifndef CMD_CONFIG_H
#define CMD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err_list.h"
#include "ingest/ingest.h"
#include "ingest/rollup_history.h"

/* What queries may take; never 0. */
struct query_limits {
    int64_t timeout_ms;
    int64_t concurrency, queue; /* that run, and that wait */
    int64_t max_samples;        /* points that one holds at once */
    int64_t max_series;         /* of one selector */
    uint64_t memory_bytes;      /* of one */
};

/* What the ingestion may use; never 0. */
struct ingest_limits {
    int64_t workers;
    uint64_t memory_bytes; /* for what it remembers */
};

/* What three have of it: what is in no file yet with all that is at hand of files, which may become
 * twice as much before a batch has to wait (store_options.state_bytes); what is at hand of ids,
 * entities and label sets; the batch. INGEST_BUFFERS are left for what does not depend on it:
 * buffers, and what the allocator keeps of memory that was given back, and of large pages. */
#define INGEST_BUFFERS (UINT64_C(48) << 20)
static inline uint64_t ingest_part_bytes(const struct ingest_limits *limits)
{
    uint64_t all = limits->memory_bytes, least = all / 16;
    return all > INGEST_BUFFERS + 4 * least ? (all - INGEST_BUFFERS) / 4 : least;
}

struct config {
    struct arena arena; /* holds all of it */
    const char *file;
    const char *const *overrides; /* as they were given */
    size_t n_overrides;
    struct kafka_setting *kafka;
    size_t n_kafka;
    struct shard shard;
    const char *http_address; /* "127.0.0.1" */
    int http_port;
    const char *store_path;
    uint64_t store_head_bytes;
    struct retention retention;
    struct limits limits;
    struct query_limits query;
    struct ingest_limits ingest;
    struct streams streams;
    struct hash128 ingested; /* of all that decides what is counted, as it is written: `kafka`,
                                `shard`, `registry`, `streams`, `lifecycles`, `rollups` */
};

/* overrides: "kafka.brokers=HOST:PORT", dotted paths as with --set. All mistakes are collected,
 * each with file, line, column and what would be right; false when there is one. The caller frees
 * both. */
bool config_load(const char *path, const char *const *overrides, size_t n_overrides,
    struct config *out, struct err_list *errors);
/* The same, with what the store knows of the rollups' past (ingest/rollup_history.h), so that
 * former generations of them are among the streams' rollups. */
bool config_load_with(const char *path, const char *const *overrides, size_t n_overrides,
    const struct rollup_histories *past, struct config *out, struct err_list *errors);
void config_free(struct config *config);

#endif

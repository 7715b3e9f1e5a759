#include "cmd/clock_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/exposition.h"
#include "base/arena.h"
#include "base/mem.h"

/* ---- partitions ---- */

struct partition_list {
    struct partition_stats *items;
    struct arena names;
    size_t n, cap;
};

static void keep(void *ctx, const struct partition_stats *partition)
{
    struct partition_list *list = ctx;
    GROW(list->items, list->cap, list->n + 1);
    struct partition_stats *p = &list->items[list->n++];
    *p = *partition;
    p->name = arena_slice(&list->names, slice_from(partition->name)).ptr;
}

static void per_partition(const struct partition_list *list, const char *name, const char *help,
    bool (*value)(const struct partition_stats *, double *), struct buf *out)
{
    exposition_family(out, name, "gauge", help);
    for (size_t i = 0; i < list->n; i++) {
        const struct partition_stats *p = &list->items[i];
        struct exposition_label labels[] = {
            {"stream", p->stream}, {"partition", slice_from(p->name)}};
        double v;
        if (value(p, &v))
            exposition_sample(out, name, "", labels, 2, v);
    }
}

static bool frontier(const struct partition_stats *p, double *v)
{
    *v = (double)p->frontier_ms / 1000;
    return p->frontier_ms != INT64_MIN;
}

static bool watermark(const struct partition_stats *p, double *v)
{
    *v = (double)p->watermark_ms / 1000;
    return p->watermark_ms != INT64_MIN;
}

static bool lag(const struct partition_stats *p, double *v)
{
    *v = (double)p->lag_messages;
    return p->lag_messages >= 0;
}

static void write_partitions(struct ingest *ingest, struct buf *out)
{
    struct partition_list list = {0};
    arena_init(&list.names, 0);
    ingest_each_partition(ingest, keep, &list);
    per_partition(&list, "larder_partition_frontier_timestamp_seconds",
        "Event time up to which the partition has been read.", frontier, out);
    per_partition(&list, "larder_partition_watermark_timestamp_seconds",
        "Event time up to which the partition is complete.", watermark, out);
    per_partition(&list, "larder_partition_lag_messages",
        "Messages of the partition that are not read yet.", lag, out);
    arena_fini(&list.names);
    free(list.items);
}

/* ---- metrics ---- */

static void write_metric_clocks(struct store *store, const struct generation_stats *all, size_t n,
    bool watermarks, struct buf *out)
{
    const char *name = watermarks ? "larder_metric_watermark_timestamp_seconds"
                                  : "larder_metric_frontier_timestamp_seconds";
    exposition_family(out, name, "gauge",
        watermarks ? "Event time up to which the metric is final, but for late events."
                   : "Event time up to which the metric is known.");
    for (size_t i = 0; i < n; i++) {
        struct exposition_label metric = {"metric", all[i].rollup};
        int64_t known, complete;
        if (!store_clock(store, all[i].clock, &known, &complete))
            continue;
        int64_t ms = watermarks ? complete : known;
        if (ms != INT64_MIN)
            exposition_sample(out, name, "", &metric, 1, (double)ms / 1000);
    }
}

/* ---- streams ---- */

static void write_lag(const struct stream_stats *streams, size_t n, int64_t now_ms, struct buf *out)
{
    static const char name[] = "larder_ingest_lag_seconds";
    exposition_family(
        out, name, "gauge", "How far the frontier of the stream is behind the clock.");
    for (size_t i = 0; i < n; i++) {
        struct exposition_label stream = {"stream", streams[i].name};
        int64_t behind = now_ms - streams[i].frontier_ms;
        if (streams[i].frontier_ms != INT64_MIN)
            exposition_sample(out, name, "", &stream, 1, behind > 0 ? (double)behind / 1000 : 0);
    }
}

static void write_lateness_of(const struct stream_stats *stream, const char *name, struct buf *out)
{
    const struct lateness *late = &stream->lateness;
    uint64_t count = 0;
    for (int i = 0; i <= LATENESS_BOUNDS; i++) {
        char bound[32] = "+Inf";
        count += late->counts[i];
        if (i < LATENESS_BOUNDS)
            snprintf(bound, sizeof bound, "%g", (double)lateness_bounds_ms[i] / 1000);
        struct exposition_label labels[] = {{"stream", stream->name}, {"le", slice_from(bound)}};
        exposition_sample(out, name, "_bucket", labels, 2, (double)count);
    }
    struct exposition_label label = {"stream", stream->name};
    exposition_sample(out, name, "_sum", &label, 1, late->sum_s);
    exposition_sample(out, name, "_count", &label, 1, (double)count);
}

static void write_corrections(const struct stream_stats *streams, size_t n, struct buf *out)
{
    static const char name[] = "larder_events_corrections_total";
    exposition_family(out, name, "counter",
        "Accepted events that came when the watermark had passed them, since the start.");
    for (size_t i = 0; i < n; i++) {
        struct exposition_label stream = {"stream", streams[i].name};
        exposition_sample(out, name, "", &stream, 1, (double)streams[i].lateness.corrections);
    }
}

static void write_streams(
    const struct stream_stats *streams, size_t n, int64_t now_ms, struct buf *out)
{
    static const char name[] = "larder_events_lateness_seconds";
    write_lag(streams, n, now_ms, out);
    exposition_family(out, name, "histogram",
        "Record timestamp minus event time of accepted events, since the start.");
    for (size_t i = 0; i < n; i++)
        write_lateness_of(&streams[i], name, out);
    write_corrections(streams, n, out);
}

void clock_metrics_write(const struct ingest_moment *moment, struct ingest *ingest,
    struct store *store, int64_t now_ms, struct buf *out)
{
    write_streams(moment->streams, moment->n_streams, now_ms, out);
    write_partitions(ingest, out);
    write_metric_clocks(store, moment->rollups, moment->n_rollups, false, out);
    write_metric_clocks(store, moment->rollups, moment->n_rollups, true, out);
}

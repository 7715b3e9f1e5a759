#include "api/metrics_api.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/exposition.h"
#include "api/http.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/version.h"

#define ROUTES_MAX 31 /* the last row counts everything that is no route */

static const int statuses[] = {200, 204, 400, 404, 405, 413, 415, 422, 499, 500, 503};
#define STATUSES (sizeof statuses / sizeof *statuses)

static const double bounds[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 120};
#define BOUNDS (sizeof bounds / sizeof *bounds)

enum outcome {
    OUTCOME_OK,
    OUTCOME_BAD,
    OUTCOME_LIMIT,
    OUTCOME_TIMEOUT,
    OUTCOME_CANCELED,
    OUTCOMES
};
static const char *const outcomes[] = {"ok", "error", "limit", "timeout", "canceled"};

struct metrics {
    int64_t started_ms;
    atomic_ullong requests[ROUTES_MAX + 1][STATUSES];
    atomic_ullong request_ns[ROUTES_MAX + 1];
    atomic_ullong queries[OUTCOMES];
    atomic_ullong query_buckets[BOUNDS + 1], query_ns;
    atomic_ullong series, cells, points;
};

struct metrics *metrics_new(void)
{
    ensure(route_count() <= ROUTES_MAX);
    struct metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->started_ms = clock_now_ms();
    return metrics;
}

void metrics_free(struct metrics **metrics)
{
    free(*metrics);
    *metrics = NULL;
}

static void add(atomic_ullong *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static double get(atomic_ullong *counter)
{
    return (double)atomic_load_explicit(counter, memory_order_relaxed);
}

void metrics_request(
    struct metrics *metrics, const struct route *route, int status, int64_t took_ns)
{
    size_t row = route ? route_index(route) : ROUTES_MAX;
    for (size_t i = 0; i < STATUSES; i++)
        if (statuses[i] == status)
            add(&metrics->requests[row][i], 1);
    add(&metrics->request_ns[row], (uint64_t)took_ns);
}

static enum outcome outcome_of(enum err_code code)
{
    switch (code) {
    case ERR_OK: return OUTCOME_OK;
    case ERR_LIMIT: return OUTCOME_LIMIT;
    case ERR_TIMEOUT: return OUTCOME_TIMEOUT;
    case ERR_CANCELED: return OUTCOME_CANCELED;
    default: return OUTCOME_BAD;
    }
}

void metrics_query(
    struct metrics *metrics, enum err_code code, int64_t took_ns, const struct query_stats *stats)
{
    size_t i = 0;
    while (i < BOUNDS && (double)took_ns / 1e9 > bounds[i])
        i++;
    add(&metrics->query_buckets[i], 1);
    add(&metrics->query_ns, (uint64_t)took_ns);
    add(&metrics->queries[outcome_of(code)], 1);
    if (code == ERR_OK && stats) {
        add(&metrics->series, stats->series);
        add(&metrics->cells, stats->cells);
        add(&metrics->points, stats->points);
    }
}

/* ---- the page ---- */

static double resident_bytes(void)
{
    unsigned long long size, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return NAN;
    bool ok = fscanf(f, "%llu %llu", &size, &resident) == 2;
    fclose(f);
    return ok ? (double)resident * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static double open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* ".", "..", and the folder itself */
    if (!dir)
        return NAN;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void write_process(struct metrics *m, struct buf *out)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    exposition_one(out, "process_cpu_seconds_total", "counter",
        "User and system CPU time used by this process.", (double)clock_cpu_ns() / 1e9);
    exposition_one(
        out, "process_resident_memory_bytes", "gauge", "Memory that is in RAM.", resident_bytes());
    exposition_one(out, "process_open_fds", "gauge", "Open file descriptors.", open_files());
    exposition_one(out, "process_max_fds", "gauge", "File descriptors that may be open.",
        (double)files.rlim_cur);
    exposition_one(out, "process_start_time_seconds", "gauge",
        "When the server started, since 1970-01-01 UTC.", (double)m->started_ms / 1000);
    struct exposition_label version = {"version", SLICE(LARDER_VERSION)};
    exposition_family(out, "larder_build_info", "gauge", "1; the version is in the labels.");
    exposition_sample(out, "larder_build_info", "", &version, 1, 1);
}

static void write_requests(struct metrics *m, struct buf *out)
{
    exposition_family(out, "larder_http_requests_total", "counter", "Answered requests.");
    for (size_t row = 0; row <= ROUTES_MAX; row++)
        for (size_t i = 0; i < STATUSES; i++) {
            double n = get(&m->requests[row][i]);
            if (n == 0)
                continue;
            char code[8];
            struct exposition_label labels[] = {
                {"path", slice_from(row < route_count() ? route_at(row)->path : "other")},
                {"code", {code, (size_t)snprintf(code, sizeof code, "%d", statuses[i])}}};
            exposition_sample(out, "larder_http_requests_total", "", labels, 2, n);
        }
    exposition_family(out, "larder_http_request_seconds_total", "counter",
        "Time from a request's headers to its answer being ready, the queue included.");
    for (size_t row = 0; row <= ROUTES_MAX; row++) {
        double ns = get(&m->request_ns[row]);
        struct exposition_label path = {
            "path", slice_from(row < route_count() ? route_at(row)->path : "other")};
        if (ns > 0)
            exposition_sample(out, "larder_http_request_seconds_total", "", &path, 1, ns / 1e9);
    }
}

static void write_load(struct http *http, struct buf *out)
{
    struct http_load load;
    http_load(http, &load);
    exposition_one(
        out, "larder_http_connections", "gauge", "Open connections.", (double)load.connections);
    exposition_one(out, "larder_http_connections_cut_total", "counter",
        "Connections closed because their client was too slow.", (double)load.cut);
    exposition_one(out, "larder_http_queue_length", "gauge", "Requests that wait for a worker.",
        (double)load.waiting);
    exposition_one(out, "larder_http_workers_busy", "gauge", "Workers that answer a request.",
        (double)load.running);
    exposition_one(out, "larder_http_held_bytes", "gauge", "Bodies and answers in memory.",
        (double)load.held_bytes);
    exposition_one(out, "larder_http_refused_total", "counter",
        "Requests refused because the queue or the memory for them was full.",
        (double)load.refused);
}

static void write_queries(struct metrics *m, struct buf *out)
{
    static const char seconds[] = "larder_query_duration_seconds";
    exposition_family(out, "larder_queries_total", "counter", "Evaluated queries by outcome.");
    for (size_t i = 0; i < OUTCOMES; i++) {
        struct exposition_label outcome = {"outcome", slice_from(outcomes[i])};
        exposition_sample(out, "larder_queries_total", "", &outcome, 1, get(&m->queries[i]));
    }
    exposition_family(out, seconds, "histogram", "Time to evaluate a query.");
    double n = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        char le[32];
        n += get(&m->query_buckets[i]);
        struct exposition_label bound = {
            "le", i < BOUNDS ? slice_of(le, (size_t)snprintf(le, sizeof le, "%g", bounds[i]))
                             : SLICE("+Inf")};
        exposition_sample(out, seconds, "_bucket", &bound, 1, n);
    }
    exposition_sample(out, seconds, "_sum", NULL, 0, get(&m->query_ns) / 1e9);
    exposition_sample(out, seconds, "_count", NULL, 0, n);
    exposition_one(out, "larder_query_series_total", "counter", "Series that queries matched.",
        get(&m->series));
    exposition_one(
        out, "larder_query_cells_total", "counter", "Cells that queries read.", get(&m->cells));
    exposition_one(out, "larder_query_points_total", "counter", "Points that queries returned.",
        get(&m->points));
}

static void write_store(struct store *store, struct buf *out)
{
    struct store_stats s;
    store_stats(store, &s);
    const struct {
        const char *name, *type, *help;
        uint64_t v;
    } rows[] = {
        {"larder_store_series", "gauge", "Series known.", s.series},
        {"larder_store_metrics", "gauge", "Metrics known.", s.metrics},
        {"larder_store_head_cells", "gauge", "Cells in open time blocks.", s.head_cells},
        {"larder_store_head_bytes", "gauge", "Memory of open time blocks.", s.head_bytes},
        {"larder_store_segments", "gauge", "Segments on disk.", s.segments},
        {"larder_store_segment_bytes", "gauge", "Size of the segments.", s.segment_bytes},
        {"larder_store_wal_bytes", "gauge", "Size of the write-ahead log.", s.wal_bytes},
        {"larder_store_lsn", "gauge", "Number of the last transaction.", s.lsn},
        {"larder_store_replaying", "gauge",
            "1 while the start replays the log: queries over what it touches wait.", s.replaying},
        {"larder_store_replayed_lsn", "gauge",
            "Up to which transaction it has; larder_store_lsn when it has ended.", s.replayed_lsn},
        {"larder_store_commits_total", "counter", "Transactions committed since the start.",
            s.commits},
        {"larder_store_cells_total", "counter", "Cells committed since the start.", s.cells},
        {"larder_store_fsyncs_total", "counter", "Syncs of the write-ahead log.", s.fsyncs},
        {"larder_store_torn_frames", "gauge", "Unfinished frames cut off the log at the start.",
            s.torn_frames},
        {"larder_store_unreadable_windows", "gauge",
            "Windows of time that maintenance cannot read now and tries again.",
            s.unreadable_windows},
        {"larder_store_quarantined_segments", "gauge", "Damaged segments that were set aside.",
            s.quarantined},
        {"larder_store_damaged_state_generations", "gauge",
            "Generations of state tables with a damaged run.", s.state_damaged},
        {"larder_store_debt_bytes", "gauge",
            "Segments that wait for compaction; past a bound writing is slowed.", s.debt_bytes},
        {"larder_store_debt_segments", "gauge", "How many they are.", s.debt_segments},
        {"larder_store_compactions_total", "counter", "Compactions since the start.",
            s.compactions},
        {"larder_store_compacted_bytes_total", "counter",
            "Bytes of segments that compactions read since the start.", s.compacted_bytes},
        {"larder_store_folding_metrics", "gauge",
            "Metrics over their number of series, whose new label sets fold.",
            s.limits.folding_metrics},
        {"larder_store_folded_total", "counter", "Label sets given an overflow series.",
            s.limits.folded},
        {"larder_store_refused_series_total", "counter", "Label sets refused by a limit.",
            s.limits.refused_series},
        {"larder_store_refused_samples_total", "counter", "Samples too old or too far ahead.",
            s.limits.refused_old + s.limits.refused_ahead},
        {"larder_store_deletions_pending", "gauge", "Deletions not carried out in all files.",
            s.deletions_pending},
        {"larder_store_failed", "gauge", "1 when a sync failed: read only until restarted.",
            s.failed},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exposition_one(out, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].v);
}

void metrics_page(const struct api *api, struct request *request, struct response *response)
{
    struct buf *out = &response->body;
    (void)request;
    response->type = "text/plain; version=0.0.4; charset=utf-8";
    write_process(api->metrics, out);
    write_requests(api->metrics, out);
    write_load(api->http, out);
    write_queries(api->metrics, out);
    exposition_one(
        out, "larder_ready", "gauge", "1 when queries are answered.", api->store != NULL);
    if (api->store)
        write_store(api->store, out);
    if (api->more_metrics)
        api->more_metrics(api->more_metrics_ctx, out);
}

/*
 * What an event costs from its bytes to its commit, without a broker: the events of
 * bench/support/business.h go in slices into an intake over a store in a folder, as the ingest
 * thread does it, in its batches, and maintenance runs beside it. Prints one JSON object.
 *
 *     build/bench/intake_speed FOLDER [EVENTS [RATE [WORKERS]]] [SETTING...]
 *
 * RATE: events per second of event time (1200). SETTING: "avro=URL": the events are Avro, and a
 * registry at URL knows their schemas; "orders": nothing but orders, five events each;
 * "warm=EVENTS": so many come first and are not measured; "again": the store is opened anew behind
 * them; "batch=EVENTS" (as the server does); "bounded"; else a key of larder.yml ("--set"). CPU
 * time is what the threads say, the making of the events apart.
 *
 * Memory is looked at with every commit: what the process holds beside the head's open time blocks,
 * which have a bound of their own, and beside the program as it began and the events' maker; and
 * after each tenth of the events. "bounded": a peak over `ingest.memory` is a failure.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "bench/measure.h"
#include "bench/support/business.h"
#include "cmd/config.h"
#include "ingest/intake.h"

#define RECORDS    2000
#define TENTHS     10
#define PARTITIONS 8 /* of a topic */
#define FIRST_MS   INT64_C(1700000000000)

struct figures {
    int64_t settle_ns, write_ns, commit_ns; /* CPU of the ingest thread */
    int64_t all_ns, maintenance_ns;         /* of all threads; of that one */
    uint64_t events, cells;
};

struct bench {
    struct config config;
    struct store *store;
    struct kafka_source *source;
    struct intake *intake;
    struct business *business;
    struct business_event *events; /* of the slice */
    struct kafka_record records[RECORDS];
    struct partition partitions[TOPICS * PARTITIONS];
    size_t stream_of[TOPICS];
    int64_t *watermarks;
    size_t batch, batch_max;
    bool bounded;
    uint64_t other_kb; /* of the program and the events' maker */
    uint64_t peak_kb;  /* beside these and the head */
    uint64_t tenths_kb[TENTHS];
    struct figures now;
    struct intake_stats before;
    int64_t made_ns; /* CPU of making events */
    pthread_t maintenance;
    atomic_bool stop;
    _Atomic int64_t passed_ms, maintenance_ns;
};

static struct err err;

static void *maintain(void *arg)
{
    struct bench *b = arg;
    while (!atomic_load(&b->stop)) {
        struct err why;
        bool more = false;
        if (!store_maintain_step(b->store, atomic_load(&b->passed_ms), &more, &why))
            check(false, &why);
        atomic_store(&b->maintenance_ns, clock_thread_cpu_ns());
        if (!more)
            clock_sleep_ms(20);
    }
    return NULL;
}

/* "VmRSS" or "VmHWM" of /proc. */
static uint64_t memory_kb(const char *what)
{
    char line[256];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    size_t n = strlen(what);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, what, n) == 0 && sscanf(line + n, ": %llu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

/* ---- beginning ---- */

static void load_config(struct bench *b, const char *const *sets, size_t n)
{
    struct err_list errors;
    bool ok = config_load("larder.yml", sets, n, &b->config, &errors);
    check(ok, errors.items);
    err_list_fini(&errors);
}

static void make_partitions(struct bench *b)
{
    const struct streams *streams = &b->config.streams;
    for (size_t t = 0; t < TOPICS; t++) {
        while (!slice_is(streams->streams[b->stream_of[t]].name, topic_names[t]))
            b->stream_of[t]++;
        for (int p = 0; p < PARTITIONS; p++) {
            struct partition *x = &b->partitions[t * PARTITIONS + (size_t)p];
            *x = (struct partition){
                .stream = b->stream_of[t], .topic = t, .id = p, .newest_ms = INT64_MIN};
            snprintf(x->name, sizeof x->name, "%s/%d", topic_names[t], p);
        }
    }
}

static void open_all(struct bench *b, const char *folder, size_t workers)
{
    struct kafka_setting nowhere[] = {
        {SLICE("bootstrap.servers"), SLICE("127.0.0.1:1")}, {SLICE("log_level"), SLICE("0")}};
    struct ingest_options options = {.kafka = nowhere, .n_kafka = 2, .streams = &b->config.streams};
    struct store_options store = {.path = folder,
        .head_bytes = b->config.store_head_bytes,
        .state_bytes = ingest_part_bytes(&b->config.ingest)};
    check(store_open(&store, &b->store, &err), &err);
    check(kafka_source_new(&options, &b->source, &err), &err);
    b->intake = intake_new(b->store, &b->config.streams, b->source, workers,
        ingest_part_bytes(&b->config.ingest), NULL);
    thread_start(&b->maintenance, "maintenance", maintain, b);
}

static void close_all(struct bench *b)
{
    atomic_store(&b->stop, true);
    thread_join(b->maintenance);
    atomic_store(&b->stop, false);
    atomic_store(&b->maintenance_ns, 0);
    intake_free(&b->intake);
    kafka_source_free(&b->source);
    store_close(&b->store);
}

static void begin(
    struct bench *b, const char *folder, const struct business_options *business, size_t workers)
{
    open_all(b, folder, workers);
    b->other_kb = memory_kb("VmRSS");
    b->business = business_new(business);
    b->other_kb += business_bytes(b->business) / 1024;
    b->events = xcalloc(RECORDS, sizeof *b->events);
    b->watermarks = xcalloc(b->config.streams.n_streams, sizeof *b->watermarks);
    make_partitions(b);
}

/* ---- reading ---- */

static void make_slice(struct bench *b)
{
    int64_t t0 = clock_thread_cpu_ns();
    for (size_t i = 0; i < RECORDS; i++) {
        struct business_event *e = &b->events[i];
        business_next(b->business, e);
        struct partition *p = &b->partitions[e->topic * PARTITIONS + e->entity % PARTITIONS];
        b->records[i] = (struct kafka_record){.partition = p,
            .offset = p->next,
            .timestamp_ms = e->timestamp_ms,
            .value = slice_of(e->value, e->value_len)};
        p->next++;
        p->dirty = true;
    }
    b->made_ns += clock_thread_cpu_ns() - t0;
}

static void take_slice(struct bench *b)
{
    size_t taken;
    check(intake_records(b->intake, b->records, RECORDS, &taken, &err), &err);
    b->batch += RECORDS;
}

/* ---- committing ---- */

static void write_clocks(struct bench *b, struct txn *txn)
{
    const struct streams *streams = &b->config.streams;
    int64_t least = INT64_MAX;
    for (size_t t = 0; t < TOPICS; t++) {
        const struct partition *of[PARTITIONS];
        int64_t frontier, watermark;
        for (size_t p = 0; p < PARTITIONS; p++)
            of[p] = &b->partitions[t * PARTITIONS + p];
        const struct stream *s = &streams->streams[b->stream_of[t]];
        partitions_clocks(
            of, PARTITIONS, s->watermark_bound_ms, s->idle_after_ms, &frontier, &watermark);
        b->watermarks[b->stream_of[t]] = watermark;
        least = watermark < least ? watermark : least;
        if (txn && (frontier != INT64_MIN || watermark != INT64_MIN))
            txn_clock(txn, s->name, frontier, watermark);
    }
    atomic_store(&b->passed_ms, least);
}

static void write_sources(struct bench *b, struct txn *txn)
{
    struct buf state;
    buf_init(&state, SOURCE_STATE_MAX);
    for (size_t i = 0; i < TOPICS * PARTITIONS; i++) {
        struct partition *p = &b->partitions[i];
        if (!p->dirty)
            continue;
        buf_clear(&state);
        partition_encode(p, SLICE("orders"), &state);
        txn_source(txn, slice_from(p->name), p->next, p->newest_ms, buf_view(&state));
        p->dirty = false;
    }
    buf_fini(&state);
}

static void commit(struct bench *b)
{
    int64_t t0 = clock_thread_cpu_ns();
    write_clocks(b, NULL);
    check(intake_settle(b->intake, b->watermarks, b->watermarks, &err), &err);
    int64_t t1 = clock_thread_cpu_ns();
    b->now.cells += intake_cells(b->intake);
    struct txn *txn = txn_begin(b->store);
    check(intake_write(b->intake, txn, &err), &err);
    int64_t t2 = clock_thread_cpu_ns();
    write_sources(b, txn);
    write_clocks(b, txn);
    check(txn_commit(&txn, NULL, &err), &err);
    intake_clear(b->intake);
    int64_t t3 = clock_thread_cpu_ns();
    b->now.settle_ns += t1 - t0;
    b->now.write_ns += t2 - t1;
    b->now.commit_ns += t3 - t2;
    b->batch = 0;
    /* As the ingest thread does, when maintenance cannot keep up. */
    clock_sleep_ms(store_throttle_ms(b->store));
}

static void look_at_memory(struct bench *b, uint64_t at, uint64_t events)
{
    struct store_stats stats;
    store_stats(b->store, &stats);
    uint64_t all = memory_kb("VmRSS"), others = stats.head_bytes / 1024 + b->other_kb;
    uint64_t kb = all > others ? all - others : 0;
    b->peak_kb = kb > b->peak_kb ? kb : b->peak_kb;
    b->tenths_kb[at * TENTHS / (events + 1)] = kb;
}

/* Avro: some events of others, until the schemas of all topics are there. */
static void learn_schemas(struct bench *b, const struct business_options *options)
{
    struct business *others = b->business;
    struct business_options other = *options;
    bool waits = true;
    other.seed = 99;
    other.orders_only = false;
    b->business = business_new(&other);
    make_slice(b);
    take_slice(b);
    for (int i = 0; waits && i < 1000; i++) {
        clock_sleep_ms(10);
        intake_resume(b->intake);
        waits = false;
        for (size_t p = 0; p < TOPICS * PARTITIONS; p++)
            waits = waits || b->partitions[p].parked;
    }
    ensure(!waits);
    commit(b);
    business_free(&b->business);
    b->business = others;
}

static void run(struct bench *b, uint64_t events)
{
    int64_t all = clock_cpu_ns(), made = b->made_ns;
    int64_t maintenance = atomic_load(&b->maintenance_ns);
    b->now = (struct figures){.events = events};
    intake_stats(b->intake, &b->before);
    for (uint64_t at = 0; at < events; at += RECORDS) {
        make_slice(b);
        take_slice(b);
        if (b->batch >= b->batch_max) {
            commit(b);
            look_at_memory(b, at, events);
        }
    }
    commit(b);
    look_at_memory(b, events, events);
    b->now.all_ns = clock_cpu_ns() - all - (b->made_ns - made);
    b->now.maintenance_ns = atomic_load(&b->maintenance_ns) - maintenance;
}

/* ---- */

static void count_tallies(const struct bench *b, struct tally *out)
{
    *out = (struct tally){0};
    for (size_t i = 0; i < TOPICS * PARTITIONS; i++)
        tally_add(out, &b->partitions[i].tally);
}

static double per(const struct figures *f, int64_t ns)
{
    return (double)ns / 1e3 / (double)f->events;
}

/* Says so. */
static bool is_over(const struct bench *b)
{
    uint64_t bound_kb = b->config.ingest.memory_bytes / 1024;
    if (b->peak_kb <= bound_kb)
        return false;
    fprintf(stderr, "intake_speed: %" PRIu64 " MiB are more than ingest.memory: %" PRIu64 " MiB\n",
        b->peak_kb / 1024, bound_kb / 1024);
    return true;
}

static void print_memory(const struct bench *b)
{
    printf(" \"ingest_memory_mib\": %" PRIu64 ", \"peak_mib\": %" PRIu64 ", \"by_tenth_mib\": [",
        b->config.ingest.memory_bytes >> 20, b->peak_kb / 1024);
    for (size_t i = 0; i < TENTHS; i++)
        printf("%s%" PRIu64, i ? ", " : "", b->tenths_kb[i] / 1024);
    printf("]}\n");
}

static void print(const struct bench *b, double wall)
{
    const struct figures *f = &b->now;
    const struct business_totals *t = business_totals(b->business);
    struct store_stats stats;
    struct tally tally;
    struct intake_stats now;
    const struct intake_stats *was = &b->before;
    intake_stats(b->intake, &now);
    store_stats(b->store, &stats);
    count_tallies(b, &tally);
    printf("{\"events\": %" PRIu64 ", \"accepted\": %" PRIu64 ", \"orders\": %" PRIu64
           ", \"event_bytes\": %.0f,\n",
        t->events, tally.accepted, t->placed, (double)t->bytes / (double)t->events);
    printf(" \"events_per_second\": %.0f, \"cpu_us_per_event\": %.3f,\n", (double)f->events / wall,
        per(f, f->all_ns));
    printf(" \"us\": {\"decode\": %.3f, \"judge\": %.3f, \"dedupe\": %.3f, \"lifecycle\": %.3f, "
           "\"settle\": %.3f, \"rollup\": %.3f, \"write\": %.3f, \"commit\": %.3f, "
           "\"maintenance\": %.3f},\n",
        per(f, now.decode_ns - was->decode_ns), per(f, now.judge_ns - was->judge_ns),
        per(f, now.dedupe_ns - was->dedupe_ns), per(f, now.lifecycle_ns - was->lifecycle_ns),
        per(f, f->settle_ns), per(f, now.rollup_ns - was->rollup_ns), per(f, f->write_ns),
        per(f, f->commit_ns + now.publish_ns - was->publish_ns), per(f, f->maintenance_ns));
    printf(" \"cells_per_event\": %.3f, \"peak_rss_mib\": %" PRIu64
           ", \"state_memory_mib\": %" PRIu64 ", \"state_runs\": %" PRIu64 ",\n",
        (double)f->cells / (double)f->events, memory_kb("VmHWM") / 1024,
        stats.state_memory_bytes >> 20, stats.state_runs);
    print_memory(b);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct bench *b = &bench;
    const char *sets[64];
    char avro[TOPICS][64], registry[256];
    size_t n_sets = 0;
    bool again = false;
    uint64_t numbers[] = {2000000, 1200, 1}, warm = 0;
    int n = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: intake_speed FOLDER [EVENTS [RATE [WORKERS]]] [SETTING...]\n");
        return 2;
    }
    struct business_options business = {.seed = 1, .first_ms = FIRST_MS};
    for (int i = 2; i < argc; i++) {
        ensure(n_sets + TOPICS + 1 < 64);
        if (strcmp(argv[i], "orders") == 0) {
            business.orders_only = true;
        } else if (strcmp(argv[i], "again") == 0) {
            again = true;
        } else if (strcmp(argv[i], "bounded") == 0) {
            b->bounded = true;
        } else if (strncmp(argv[i], "warm=", 5) == 0) {
            warm = strtoull(argv[i] + 5, NULL, 10);
        } else if (strncmp(argv[i], "batch=", 6) == 0) {
            b->batch_max = strtoull(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "avro=", 5) == 0) {
            business.avro = true;
            snprintf(registry, sizeof registry, "registry.url=%s", argv[i] + 5);
            sets[n_sets++] = registry;
            for (int t = 0; t < TOPICS; t++) {
                snprintf(avro[t], sizeof avro[t], "streams.%s.format=avro", topic_names[t]);
                sets[n_sets++] = avro[t];
            }
        } else if (strchr(argv[i], '=')) {
            sets[n_sets++] = argv[i];
        } else if (n < 3) {
            numbers[n++] = strtoull(argv[i], NULL, 10);
        }
    }
    business.per_second = numbers[1];
    log_set_level(LOG_WARN);
    load_config(b, sets, n_sets);
    if (!b->batch_max)
        b->batch_max = intake_batch_events(ingest_part_bytes(&b->config.ingest));
    atomic_init(&b->passed_ms, INT64_MIN);
    begin(b, argv[1], &business, numbers[2]);
    if (business.avro)
        learn_schemas(b, &business);
    if (warm)
        run(b, warm);
    if (again) {
        close_all(b);
        open_all(b, argv[1], numbers[2]);
    }
    double start = seconds(CLOCK_MONOTONIC);
    int64_t made = b->made_ns;
    run(b, numbers[0]);
    print(b, seconds(CLOCK_MONOTONIC) - start - (double)(b->made_ns - made) / 1e9);
    bool over = b->bounded && is_over(b);
    close_all(b);
    business_free(&b->business);
    config_free(&b->config);
    free(b->events);
    free(b->watermarks);
    return over ? 1 : 0;
}

/*
 * Records through all steps of the intake, with the shipped config: what comes out does not depend
 * on how many workers prepare them. The same records, among them some that come twice, that say
 * something else under a known id, that are broken, late or of no stream's fields, are taken in by
 * one, two and three workers, and every byte on disk is the same. Then the same beside maintenance
 * in a thread of its own, for the sanitizers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/mem.h"
#include "base/thread.h"
#include "bench/support/business.h"
#include "cmd/config.h"
#include "ingest/crew.h"
#include "ingest/intake.h"
#include "tests/store/support/folder.h"

#define PARTITIONS 3 /* of a topic */
#define SLICE_MAX  700
#define BATCH      4000
#define EVENTS     40000
#define FIRST_MS   INT64_C(1700000000000)
#define HOUR_MS    INT64_C(3600000)
#define KEPT       64

struct run {
    char folder[FOLDER_MAX];
    struct config config;
    struct store *store;
    struct kafka_source *source;
    struct intake *intake;
    struct business *business;
    struct partition partitions[TOPICS * PARTITIONS];
    struct business_event *events, *kept;
    struct kafka_record *records;
    int64_t *watermarks;
    uint64_t rng;
    pthread_t maintenance;
    bool beside;
    bool sound; /* no event is spoiled */
    atomic_bool stop;
    _Atomic int64_t passed_ms;
};

static struct err err;

static void must(bool ok)
{
    if (!ok)
        fail_msg("%s", err.text);
}

static uint64_t below(struct run *r, uint64_t n)
{
    r->rng = r->rng * 6364136223846793005u + 1442695040888963407u;
    return (r->rng >> 33) % n;
}

static void *maintain(void *arg)
{
    struct run *r = arg;
    while (!atomic_load(&r->stop))
        must(store_maintain(r->store, atomic_load(&r->passed_ms), &err));
    return NULL;
}

/* ---- a run ---- */

static void name_partitions(struct run *r)
{
    for (size_t t = 0; t < TOPICS; t++) {
        size_t stream = 0;
        while (!slice_is(r->config.streams.streams[stream].name, topic_names[t]))
            stream++;
        for (int i = 0; i < PARTITIONS; i++) {
            struct partition *p = &r->partitions[t * PARTITIONS + (size_t)i];
            *p = (struct partition){.stream = stream, .topic = t, .id = i, .newest_ms = INT64_MIN};
            marks_init(&p->marks);
            snprintf(p->name, sizeof p->name, "%s/%d", topic_names[t], i);
        }
    }
}

static void begin(struct run *r, size_t workers, bool beside)
{
    struct kafka_setting nowhere[] = {
        {SLICE("bootstrap.servers"), SLICE("127.0.0.1:1")}, {SLICE("log_level"), SLICE("0")}};
    struct err_list errors;
    *r = (struct run){.rng = 7, .beside = beside};
    folder_make("intake", r->folder);
    if (!config_load("larder.yml", NULL, 0, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
    struct ingest_options options = {.kafka = nowhere, .n_kafka = 2, .streams = &r->config.streams};
    struct store_options store = {
        .path = r->folder, .state_bytes = 256 << 10, .checkpoint_bytes = 2 << 20};
    must(store_open(&store, &r->store, &err));
    must(kafka_source_new(&options, &r->source, &err));
    /* Few entities are at hand, so that others are read. */
    r->intake = intake_new(r->store, &r->config.streams, r->source, workers, 64 << 10, NULL);
    r->business = business_new(&(struct business_options){
        .seed = 5, .first_ms = FIRST_MS, .per_second = 8, .open_s = 1200});
    r->events = xcalloc(SLICE_MAX, sizeof *r->events);
    r->kept = xcalloc(KEPT, sizeof *r->kept);
    r->records = xcalloc(SLICE_MAX, sizeof *r->records);
    r->watermarks = xcalloc(r->config.streams.n_streams, sizeof *r->watermarks);
    atomic_init(&r->passed_ms, INT64_MIN);
    name_partitions(r);
    if (beside)
        thread_start(&r->maintenance, "maintenance", maintain, r);
}

static void end(struct run *r)
{
    atomic_store(&r->stop, true);
    if (r->beside)
        thread_join(r->maintenance);
    intake_free(&r->intake);
    kafka_source_free(&r->source);
    store_close(&r->store);
    business_free(&r->business);
    config_free(&r->config);
    free(r->events);
    free(r->kept);
    free(r->records);
    free(r->watermarks);
}

/* ---- records ---- */

/* What a producer or a clock does now and then. */
static void spoil(struct run *r, struct business_event *e)
{
    struct business_event *kept = &r->kept[below(r, KEPT)];
    switch (below(r, 12)) {
    case 0: e->value[e->value_len - 1] = '!'; break;
    case 1: e->timestamp_ms += 30 * HOUR_MS; break;
    case 2: e->timestamp_ms -= HOUR_MS; break;
    case 3:
        if (kept->value_len)
            *e = *kept;
        e->value[e->value_len - 3] ^= 1; /* other content; perhaps no JSON any more */
        break;
    case 4: e->value_len = 0; break;
    case 5: memset(e->value + 20, 0xff, 8); break;
    default:
        if (kept->value_len)
            *e = *kept;
    }
}

static size_t make_slice(struct run *r, size_t left)
{
    size_t n = 1 + below(r, SLICE_MAX);
    n = n < left ? n : left;
    for (size_t i = 0; i < n; i++) {
        struct business_event *e = &r->events[i];
        business_next(r->business, e);
        if (below(r, 50) == 0)
            r->kept[below(r, KEPT)] = *e;
        if (!r->sound && below(r, 12) == 0)
            spoil(r, e);
        struct partition *p = &r->partitions[e->topic * PARTITIONS + e->entity % PARTITIONS];
        r->records[i] = (struct kafka_record){.partition = p,
            .offset = p->next++,
            .timestamp_ms = e->timestamp_ms,
            .value = slice_of(e->value, e->value_len)};
        if (below(r, 400) == 0)
            r->records[i].value = (struct slice){NULL, 0};
        p->dirty = true;
    }
    return n;
}

/* ---- batches ---- */

static void note_watermarks(struct run *r)
{
    int64_t least = INT64_MAX;
    for (size_t t = 0; t < TOPICS; t++) {
        const struct partition *of[PARTITIONS];
        size_t stream = r->partitions[t * PARTITIONS].stream;
        int64_t frontier;
        for (size_t i = 0; i < PARTITIONS; i++)
            of[i] = &r->partitions[t * PARTITIONS + i];
        partitions_clocks(of, PARTITIONS, r->config.streams.streams[stream].watermark_bound_ms,
            HOUR_MS, &frontier, &r->watermarks[stream]);
        least = r->watermarks[stream] < least ? r->watermarks[stream] : least;
    }
    atomic_store(&r->passed_ms, least);
}

static void write_sources(struct run *r, struct txn *txn)
{
    struct buf state;
    buf_init(&state, SOURCE_STATE_MAX);
    for (size_t i = 0; i < TOPICS * PARTITIONS; i++) {
        struct partition *p = &r->partitions[i];
        buf_clear(&state);
        partition_encode(p, SLICE("orders"), &state);
        if (p->dirty)
            txn_source(txn, slice_from(p->name), p->next, p->newest_ms, buf_view(&state));
        p->dirty = false;
    }
    buf_fini(&state);
}

static void commit(struct run *r)
{
    note_watermarks(r);
    must(intake_settle(r->intake, r->watermarks, r->watermarks, &err));
    struct txn *txn = txn_begin(r->store);
    must(intake_write(r->intake, txn, &err));
    if (below(r, 4) == 0) { /* the disk was full, say */
        txn_abort(&txn);
        intake_unwrite(r->intake);
        txn = txn_begin(r->store);
        must(intake_write(r->intake, txn, &err));
    }
    write_sources(r, txn);
    must(txn_commit(&txn, NULL, &err));
    intake_clear(r->intake);
    if (!r->beside)
        must(store_maintain(r->store, atomic_load(&r->passed_ms), &err));
}

static void take_all(struct run *r)
{
    size_t batch = 0;
    for (size_t done = 0; done < EVENTS;) {
        size_t taken, n = make_slice(r, EVENTS - done);
        must(intake_records(r->intake, r->records, n, &taken, &err));
        assert_int_equal(taken, n);
        done += n;
        batch += n;
        if (batch < BATCH && done < EVENTS)
            continue;
        commit(r);
        batch = 0;
    }
}

/* ---- what is on disk ---- */

struct listing {
    const char *root;
    char *text;
    size_t len;
    FILE *out;
};

static void list_file(void *ctx, const char *path)
{
    struct listing *l = ctx;
    char bytes[65536];
    FILE *f = fopen(path, "rb");
    size_t total = 0, n;
    uint32_t crc = 0;
    assert_non_null(f);
    for (; (n = fread(bytes, 1, sizeof bytes, f)) > 0; total += n)
        crc = crc32c(crc, bytes, n);
    fclose(f);
    fprintf(l->out, "%s %zu %08" PRIx32 "\n", path + strlen(l->root), total, crc);
}

static char *list_folder(const char *folder)
{
    struct listing l = {.root = folder};
    l.out = open_memstream(&l.text, &l.len);
    folder_each(folder, list_file, &l);
    fclose(l.out);
    return l.text;
}

static void sum_tallies(const struct run *r, struct tally *out)
{
    *out = (struct tally){0};
    for (size_t i = 0; i < TOPICS * PARTITIONS; i++)
        tally_add(out, &r->partitions[i].tally);
}

/* Every way to end is there, or the test would say less than it seems to. */
static void check_tally(const struct tally *t)
{
    assert_true(t->accepted > EVENTS * 8 / 10);
    assert_true(t->duplicates > 100 && t->conflicts > 10 && t->tombstones > 10);
    assert_true(t->refused[REFUSED_MALFORMED] > 100 && t->refused[REFUSED_LATE] > 10 &&
                t->refused[REFUSED_AHEAD] > 10);
}

static void test_workers(void **state)
{
    static struct run r;
    char *first = NULL;
    (void)state;
    for (size_t workers = 1; workers <= 3; workers++) {
        struct tally tally;
        struct lifecycle_counts lives;
        begin(&r, workers, false);
        take_all(&r);
        sum_tallies(&r, &tally);
        check_tally(&tally);
        intake_lifecycle(r.intake, 0, &lives);
        assert_true(lives.facts > EVENTS / 3 && lives.corrections > 0);
        end(&r);
        char *now = list_folder(r.folder);
        if (first)
            assert_string_equal(now, first);
        else
            first = strdup(now);
        free(now);
        folder_remove(r.folder);
    }
    free(first);
}

static void test_beside_maintenance(void **state)
{
    static struct run r;
    struct tally tallies[2];
    (void)state;
    for (size_t workers = 1; workers <= 3; workers += 2) {
        begin(&r, workers, true);
        take_all(&r);
        sum_tallies(&r, &tallies[workers / 2]);
        end(&r);
        folder_remove(r.folder);
    }
    assert_memory_equal(&tallies[0], &tallies[1], sizeof tallies[0]);
}

/* ---- what is kept of ids and people ---- */

struct search {
    char texts[2048][64];
    size_t n, hits;
};

static void look_for(struct search *s, const struct business_event *e, const char *field)
{
    char name[64];
    snprintf(name, sizeof name, "\"%s\":\"", field);
    const char *at = memmem(e->value, e->value_len, name, strlen(name));
    if (!at || s->n == sizeof s->texts / sizeof s->texts[0])
        return;
    at += strlen(name);
    size_t len = strcspn(at, "\"");
    if (len >= 6) /* else it may stand there by chance; of a long one its beginning will do */
        snprintf(s->texts[s->n++], sizeof s->texts[0], "%.*s", (int)len, at);
}

static void search_file(void *ctx, const char *path)
{
    struct search *s = ctx;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t len = (size_t)ftell(f);
    char *bytes = malloc(len + 1);
    rewind(f);
    assert_int_equal(fread(bytes, 1, len, f), len);
    fclose(f);
    for (size_t i = 0; i < s->n; i++)
        s->hits += memmem(bytes, len, s->texts[i], strlen(s->texts[i])) != NULL;
    free(bytes);
}

/* No file of the store has an event id, the key of a lifecycle, or what is personal. (Only what is
 * refused lies in the outbox as it was, until it is sent.) */
static void test_ids_are_hashes(void **state)
{
    static const char *const fields[] = {"event_id", "order_id", "customer", "text"};
    static struct search ids;
    static struct search labels = {.texts = {"orders_total", "category"}, .n = 2};
    static struct run r;
    size_t taken;
    (void)state;
    begin(&r, 1, false);
    r.sound = true;
    for (int slice = 0; slice < 4; slice++) {
        size_t n = make_slice(&r, SLICE_MAX);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
                look_for(&ids, &r.events[i], fields[k]);
        must(intake_records(r.intake, r.records, n, &taken, &err));
        commit(&r);
        folder_each(r.folder, search_file, &ids);
        folder_each(r.folder, search_file, &labels);
    }
    end(&r);
    folder_each(r.folder, search_file, &ids);
    assert_true(ids.n > 1000);
    assert_int_equal(ids.hits, 0);
    assert_true(labels.hits > 0); /* it would find them */
    folder_remove(r.folder);
}

static void test_batch_events(void **state)
{
    (void)state;
    assert_int_equal(intake_batch_events(0), 1000);
    assert_int_equal(intake_batch_events(UINT64_C(4) << 20), 3276);
    assert_int_equal(intake_batch_events(UINT64_C(128) << 20), 100000);
    assert_int_equal(intake_batch_events(UINT64_MAX), 100000);
}

/* ---- the crew itself ---- */

struct sums {
    _Atomic uint64_t all;
    uint64_t by_member[CREW_MAX];
};

static void add_up(void *ctx, size_t member, size_t from, size_t to)
{
    struct sums *s = ctx;
    for (size_t i = from; i < to; i++) {
        atomic_fetch_add(&s->all, i);
        s->by_member[member]++;
    }
}

static void test_crew(void **state)
{
    (void)state;
    for (size_t members = 1; members <= 5; members++) {
        struct crew *crew = crew_new(members);
        for (size_t n = 0; n < 300; n += 7) {
            struct sums s = {0};
            uint64_t items = 0;
            crew_run(crew, n, 1 + n % 5, add_up, &s);
            for (size_t m = 0; m < members; m++)
                items += s.by_member[m];
            assert_int_equal(items, n);
            assert_int_equal(s.all, n * (n - (n > 0)) / 2);
        }
        crew_free(&crew);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crew),
        cmocka_unit_test(test_batch_events),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_beside_maintenance),
        cmocka_unit_test(test_ids_are_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

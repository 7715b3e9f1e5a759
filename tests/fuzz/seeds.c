/*
 * Writes what the fuzz targets of the store's files begin with, from stores that hold everything:
 * all kinds of cells, native histograms, start timestamps, changes of state tables, segments of
 * every sort, one of them damaged and set aside. `make fuzz-seeds` runs it when a format has
 * changed; the files are part of the tree.
 *
 *     seeds CORPUS
 *
 * Frames are not packed in what it writes: a packed payload can hardly be changed into another one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/files.h"
#include "store/frame.h"
#include "store/segment.h"
#include "store/state/state.h"
#include "store/store.h"
#include "store/wal.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/kinds.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define COMMITS      120
#define TRANSACTIONS 6 /* so many become seeds of their own */
#define SEED         9

struct seeds {
    const char *corpus;
    char folder[FOLDER_MAX];
    struct buf log;      /* the files of a log, as the log's target takes them */
    struct buf payloads; /* of transactions, each a string */
    size_t n_payloads, n_wal, n_raw, n_derived;
    struct store_stats stats;
};

static void put(const struct seeds *s, const char *name, struct slice bytes)
{
    char path[FOLDER_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", s->corpus, name);
    FILE *out = fopen(path, "wb");
    ensure(out && fwrite(bytes.ptr, 1, bytes.len, out) == bytes.len && fclose(out) == 0);
}

static void put_numbered(const struct seeds *s, const char *what, size_t i, struct slice bytes)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%zu", what, i);
    put(s, name, bytes);
}

/* ---- frames that are not packed ---- */

struct flat {
    struct buf *out;
    struct seeds *seeds; /* remembers transactions; NULL: nobody */
};

static bool flatten_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct flat *flat = ctx;
    struct slice payload;
    struct buf raw;
    buf_init(&raw, 0);
    ensure(frame_payload(frame, &raw, &payload, err));
    buf_le32(flat->out, (uint32_t)(frame->front.len + payload.len));
    buf_le32(flat->out, 0);
    buf_le64(flat->out, frame->lsn);
    buf_u8(flat->out, (uint8_t)frame->type);
    buf_u8(flat->out, 0);
    buf_le16(flat->out, (uint16_t)frame->front.len);
    buf_le32(flat->out, (uint32_t)payload.len);
    buf_add(flat->out, frame->front.ptr, frame->front.len);
    buf_add(flat->out, payload.ptr, payload.len);
    if (flat->seeds && frame->type == FRAME_TRANSACTION) {
        buf_lstr(&flat->seeds->payloads, payload);
        flat->seeds->n_payloads++;
    }
    buf_fini(&raw);
    return true;
}

/* Adds the file to `out`, behind what is there. */
static void flatten(
    const char *path, const char *magic, uint16_t version, struct buf *out, struct seeds *seeds)
{
    struct flat flat = {out, seeds};
    struct frame_scan scan = {
        .path = path, .magic = magic, .version = version, .each = flatten_frame, .ctx = &flat};
    struct buf content;
    struct err err;
    size_t end, start = out->len;
    buf_init(&content, 0);
    ensure(file_read(path, SIZE_MAX / 2, &content, &err));
    buf_add(out, content.ptr, FRAMES_HEADER);
    if (!frames_scan(buf_view(&content), &scan, &end, &err))
        unreachable("a file of a store that was closed is whole");
    frames_repair((uint8_t *)out->ptr + start, out->len - start);
    buf_fini(&content);
}

static void add_to_log(struct seeds *s, const char *path)
{
    struct buf file;
    buf_init(&file, 0);
    flatten(path, "LWAL", 4, &file, s);
    ensure(file.len <= UINT16_MAX);
    if (s->n_wal++ == 0)
        put(s, "frame/wal", buf_view(&file));
    buf_le16(&s->log, (uint16_t)file.len);
    buf_add(&s->log, file.ptr, file.len);
    buf_fini(&file);
}

/* ---- files of a store ---- */

static void put_with(const struct seeds *s, const char *name, struct slice front, const char *path,
    const char *magic, uint16_t version)
{
    struct buf out;
    buf_init(&out, 0);
    buf_add(&out, front.ptr, front.len);
    flatten(path, magic, version, &out, NULL);
    put(s, name, buf_view(&out));
    buf_fini(&out);
}

/* The small ones: a target that reads much tries little. */
static void put_segment(struct seeds *s, const char *path)
{
    struct segment *segment;
    struct buf content;
    struct err err;
    if (!segment_open(path, NULL, &segment, &err))
        return; /* the damaged one */
    buf_init(&content, 0);
    ensure(file_read(path, SIZE_MAX / 2, &content, &err));
    bool derived = segment_info(segment)->resolution_ms > 0;
    size_t *n = derived ? &s->n_derived : &s->n_raw;
    if (content.len < 6000 && *n < 2)
        put_numbered(s, derived ? "segment/derived" : "segment/raw", (*n)++, buf_view(&content));
    buf_fini(&content);
    segment_put(&segment);
}

static void take_file(void *ctx, const char *path)
{
    struct seeds *s = ctx;
    const char *name = strrchr(path, '/') + 1;
    const char counts[2] = {(char)s->stats.metrics, (char)s->stats.series};
    if (strstr(name, ".wal"))
        add_to_log(s, path);
    else if (strncmp(name, "catalog-", 8) == 0)
        put_with(s, "catalog/store", slice_of(counts, 2), path, "LCAT", 1);
    else if (strncmp(name, "manifest-", 9) == 0)
        put_with(s, "manifest/store", SLICE("\2"), path, "LMAN", 1);
    else if (strstr(name, ".seg"))
        put_segment(s, path);
}

static struct store *open_store(const char *path)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 2500,
        .checkpoint_bytes = 10000,
        .state_bytes = 1500};
    struct store *store;
    struct err err;
    if (!store_open(&options, &store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return store;
}

/* A byte of the first segment that is found is changed: the next start sets it aside. */
static void damage_one(void *ctx, const char *path)
{
    bool *done = ctx;
    if (*done || !strstr(path, ".seg"))
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ensure(fd >= 0 && pwrite(fd, "?", 1, 20) == 1 && close(fd) == 0);
    *done = true;
}

static void run_workload(struct seeds *s, const char *path)
{
    struct workload w;
    struct err err;
    bool damaged = false;
    struct store *store = open_store(path);
    workload_init(&w, SEED, 3, 120);
    w.histograms = true;
    for (int i = 0; i < COMMITS; i++) {
        struct txn *txn = txn_begin(store);
        workload_fill(&w, txn, 14);
        w.newest += 5;
        ensure(txn_commit(&txn, NULL, &err));
        if (i % 5 == 0 && i < COMMITS - 15)
            ensure(store_maintain(store, workload_end(w.newest - 12), &err));
    }
    store_close(&store);
    folder_each(path, damage_one, &damaged);
    store = open_store(path);
    for (int i = 0; i < 20; i++) {
        struct txn *txn = txn_begin(store);
        workload_fill(&w, txn, 14);
        ensure(txn_commit(&txn, NULL, &err));
    }
    store_stats(store, &s->stats);
    folder_each(path, take_file, s);
    store_close(&store);
    workload_fini(&w);
}

/* ---- transactions, and groups of them ---- */

static void put_transactions(struct seeds *s)
{
    struct reader r = reader_of(buf_view(&s->payloads));
    struct slice group[4];
    struct wal_options options = {.dir = s->folder, .file_bytes = 1500};
    struct wal *wal;
    struct err err;
    ensure(wal_open(&options, &wal, &err));
    for (size_t i = 0; i + 4 <= s->n_payloads && i < 12; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            group[k] = read_lstr(&r);
            if (i + k < TRANSACTIONS)
                put_numbered(s, "transaction/store", i + k, group[k]);
        }
        ensure(wal_append(wal, i + 1, SLICE(""), group, 4, &err));
    }
    wal_close(&wal);
}

static void take_group(void *ctx, const char *path)
{
    if (strstr(path, ".wal"))
        add_to_log(ctx, path);
}

/* ---- a checkpoint of a store with one series of every kind ---- */

static void put_kinds(struct txn *txn, const uint32_t *series, int64_t t, uint32_t i)
{
    struct hist_bucket buckets[2] = {{2, 1 + i % 3}, {5, 2}};
    struct hist_fbucket positive[2] = {{0, 1}, {3, 2 + i % 4}};
    const double bounds[] = {0.25, 1};
    struct hist_cell cell = {7, 2, buckets};
    struct gauge_cell gauge = {
        .last = i % 7, .last_ms = t - 1, .min = -2, .max = 9, .sum = 4, .count = 3};
    struct hist hist = {.schema = i % 2 ? HIST_SCHEMA_CUSTOM : 3,
        .positive = positive,
        .n_positive = i % 2 ? 1 : 2,
        .bounds = i % 2 ? bounds : NULL,
        .n_bounds = i % 2 ? 2 : 0,
        .count = i % 2 ? 1 : 3 + i % 4,
        .sum = 2.5};
    txn_add(txn, series[0], t, (int128)i * 3);
    txn_histogram(txn, series[1], t, &cell);
    txn_add(txn, series[2], t, i % 2 ? 1 : -1);
    txn_gauge(txn, series[3], t, &gauge);
    if (i % 5 == 0)
        txn_sample_histogram(txn, series[4], t, &hist);
    else
        txn_sample(txn, series[4], t, i * 0.25);
    if (i % 3 == 0)
        txn_sample_start(txn, t - 1000);
}

static void put_records(struct txn *txn, uint32_t table, uint32_t set, uint32_t i)
{
    uint64_t record = i;
    txn_state_put(txn, table, i % 3, (struct hash128){i, 5}, &record);
    txn_state_put(txn, set, 7, (struct hash128){i / 2, 1}, NULL);
    if (i % 4 == 0)
        txn_state_delete(txn, table, i % 3, (struct hash128){i / 2, 5});
}

static void take_checkpoint(void *ctx, const char *path)
{
    if (strstr(path, "/checkpoint-"))
        put_with(ctx, "checkpoint/store", SLICE("\2"), path, "LCKP", 2);
}

static void run_kinds(struct seeds *s, const char *path)
{
    struct store *store = open_store(path);
    uint32_t metric, series[KINDS], table, set;
    struct err err;
    for (uint32_t i = 0; i < 90; i++) {
        struct txn *txn = txn_begin(store);
        for (uint32_t k = 0; k < KINDS; k++) {
            struct metric_def def = kinds_def(k);
            struct label label = {SLICE("__name__"), def.name};
            ensure(txn_metric(txn, &def, &metric, &err));
            ensure(txn_series(txn, metric, (struct labels){&label, 1}, &series[k], &err));
        }
        ensure(txn_state_table(txn, SLICE("ids"), 0, &set, &err));
        ensure(txn_state_table(txn, SLICE("open"), 8, &table, &err));
        put_kinds(txn, series, WORKLOAD_T0 + 5000 * (int64_t)(i + 1), i);
        if (i < 24)
            put_records(txn, table, set, i);
        txn_source(txn, SLICE("orders/0"), i, WORKLOAD_T0, SLICE("state"));
        txn_clock(txn, SLICE("orders"), WORKLOAD_T0 + i, WORKLOAD_T0);
        ensure(txn_commit(&txn, NULL, &err));
    }
    store_close(&store);
    folder_each(path, take_checkpoint, s);
}

int main(int argc, char **argv)
{
    struct seeds s = {0};
    char path[FOLDER_MAX + 16];
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    log_set_level(LOG_ERROR + 1);
    s.corpus = argv[1];
    folder_make("seeds", s.folder);
    buf_add(&s.log, "\0\0", 2);
    snprintf(path, sizeof path, "%s/workload", s.folder);
    run_workload(&s, path);
    s.log.ptr[0] = 0;
    put(&s, "log/store", buf_view(&s.log));
    put_transactions(&s);
    s.log.len = 2;
    s.n_wal = 1;
    snprintf(path, sizeof path, "%s/wal", s.folder);
    folder_each(path, take_group, &s);
    put(&s, "log/groups", buf_view(&s.log));
    snprintf(path, sizeof path, "%s/kinds", s.folder);
    run_kinds(&s, path);
    buf_fini(&s.log);
    buf_fini(&s.payloads);
    folder_remove(s.folder);
    return 0;
}

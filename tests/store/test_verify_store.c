/* A whole folder is verified and left as it was; damage is found, named and set right: what is left
 * answers, what is lost is told. */
#include "store/verify_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/compact.h"
#include "store/files.h"
#include "store/read.h"
#include "store/resolution.h"
#include "store/segment/segment_reader.h"
#include "store/state/run_layout.h"
#include "store/state/state.h"
#include "tests/store/support/folder.h"

#define EVERY  60000
#define SERIES 40
#define KEYS   20000

static struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};

struct fixture {
    char folder[FOLDER_MAX], path[FOLDER_MAX];
    struct buf told;
    uint64_t lost_cells, lost_keys;
    int64_t lost_amount;
    bool lost_all;
    char left[SEGMENT_NAME_MAX];
    struct verify_result result;
};

/* ---- a store ---- */

static struct store *open_store(const struct fixture *f)
{
    struct store_options options = {.path = f->path, .state_bytes = 1};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static int64_t amount_of(int series, int64_t t)
{
    return 1 + (t / EVERY * 1000003 + series * 7919) * 12347 % 999983;
}

static void write_cells(struct txn *txn)
{
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    for (int i = 0; i < SERIES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%02d", i);
        struct label l[2] = {{SLICE("__name__"), counter.name}, {SLICE("x"), slice_from(name)}};
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
            txn_add(txn, id, t, amount_of(i, t));
    }
}

static void write_keys(struct txn *txn)
{
    struct err err = {0};
    uint32_t table;
    assert_true(txn_state_table(txn, SLICE("seen"), 0, &table, &err));
    for (uint64_t i = 0; i < KEYS; i++)
        txn_state_put(txn, table, 7, hash128(&i, sizeof i), NULL);
}

/* One day, compacted, with its coarser cells; a run of keys; a transaction in the log. */
static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    folder_make("verify", f->folder);
    snprintf(f->path, sizeof f->path, "%.400s/store", f->folder);
    buf_init(&f->told, 0);
    struct store *store = open_store(f);
    struct txn *txn = txn_begin(store);
    write_cells(txn);
    write_keys(txn);
    assert_true(txn_commit(&txn, NULL, &err));
    if (!store_maintain(store, DAY_MS, &err))
        fail_msg("%s", err.text);
    store_close(&store);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    folder_remove(f->folder);
    buf_fini(&f->told);
    free(f);
    return 0;
}

/* The sum of all cells of a day in a resolution; 0 raw. */
static int64_t total(const struct fixture *f, int64_t resolution_ms, bool maintain)
{
    struct store *store = open_store(f);
    struct err err = {0};
    struct arena arena;
    struct plan *plan;
    int64_t sum = 0;
    if (maintain && !store_maintain(store, DAY_MS, &err))
        fail_msg("%s", err.text);
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), counter.name, NULL};
    struct snapshot *snap = snapshot_get(store);
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        plan_range(plan, i, 0, DAY_MS);
        if (resolution_ms)
            plan_resolution(plan, i, resolution_ms);
    }
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
    }
    arena_fini(&arena);
    snapshot_put(&snap);
    store_close(&store);
    return sum;
}

static size_t keys_found(const struct fixture *f)
{
    struct store *store = open_store(f);
    struct err err = {0};
    uint32_t table, bytes;
    size_t n = 0;
    assert_true(store_state_table(store, SLICE("seen"), &table, &bytes, &err));
    for (uint64_t i = 0; i < KEYS; i++) {
        bool found;
        assert_true(store_state_get(store, table, 7, hash128(&i, sizeof i), NULL, &found, &err));
        n += found;
    }
    store_close(&store);
    return n;
}

/* ---- files ---- */

struct pick {
    const char *part; /* of the path */
    int64_t resolution_ms;
    char path[FOLDER_MAX];
    struct buf *all;
};

static void pick_file(void *ctx, const char *path)
{
    struct pick *p = ctx;
    struct segment *segment;
    struct err err;
    if (!strstr(path, p->part))
        return;
    if (strstr(path, ".seg")) {
        bool open = segment_open(path, NULL, &segment, &err);
        bool is = open && segment_info(segment)->resolution_ms == p->resolution_ms;
        segment_put(&segment);
        if (!is)
            return;
    }
    snprintf(p->path, sizeof p->path, "%s", path);
}

static void file_of(
    const struct fixture *f, const char *part, int64_t resolution_ms, char out[FOLDER_MAX])
{
    struct pick p = {.part = part, .resolution_ms = resolution_ms};
    folder_each(f->path, pick_file, &p);
    assert_true(p.path[0]);
    memcpy(out, p.path, FOLDER_MAX);
}

static void add_content(void *ctx, const char *path)
{
    struct buf *all = ctx, content;
    buf_init(&content, 0);
    if (!strstr(path, "/LOCK")) {
        ensure(file_read(path, 1u << 30, &content, NULL));
        buf_str(all, path);
        buf_slice(all, buf_view(&content));
    }
    buf_fini(&content);
}

/* ---- verifying ---- */

static void hear_damage(void *ctx, const struct err *why)
{
    struct fixture *f = ctx;
    buf_printf(&f->told, "%s: %s\n", why->file, why->text);
}

static void hear_loss(void *ctx, const struct segment *segment, const struct segment_loss *loss)
{
    struct fixture *f = ctx;
    f->lost_cells += loss->cells;
    if (segment_info(segment)->resolution_ms) /* made anew */
        return;
    assert_true(loss->ordinal < SERIES); /* by name they are in the order of their numbers */
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
        if (loss->min_t <= t && t <= loss->max_t)
            f->lost_amount += amount_of((int)loss->ordinal, t);
}

static void hear_keys(void *ctx, const char *name, uint64_t lost, uint64_t of)
{
    struct fixture *f = ctx;
    (void)name, (void)of;
    f->lost_keys += lost;
}

static void hear_left(void *ctx, const char *name, const char *absent)
{
    struct fixture *f = ctx;
    assert_non_null(strstr(absent, ".seg"));
    snprintf(f->left, sizeof f->left, "%s", name);
}

static void hear_repair(void *ctx, const char *name, const char *by, bool anew)
{
    struct fixture *f = ctx;
    (void)name;
    f->lost_all |= !by && !anew;
}

static void verify(struct fixture *f, enum verify_mode mode)
{
    const struct verify_watch watch = {.damaged = hear_damage,
        .lost_cells = hear_loss,
        .lost_keys = hear_keys,
        .left = hear_left,
        .repaired = hear_repair,
        .ctx = f};
    struct err err = {0};
    buf_clear(&f->told);
    f->lost_cells = f->lost_keys = 0;
    f->lost_amount = 0;
    f->lost_all = false;
    f->left[0] = 0;
    if (!store_verify(f->path, mode, &watch, &f->result, &err))
        fail_msg("%s", err.text);
}

static void a_whole_folder_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    folder_each(f->path, add_content, &before);
    for (enum verify_mode mode = VERIFY_ONLY; mode <= VERIFY_REPAIR; mode++) {
        verify(f, mode);
        assert_int_equal(f->result.damaged, 0);
        assert_true(f->result.starts);
        assert_int_equal(f->result.lsn, 1);
        assert_int_equal(f->result.segments, 2); /* raw, 1h: 1m is the series' own */
        assert_int_equal(f->result.cells, SERIES * (1440 + 24));
        assert_true(f->result.runs >= 1);
        assert_int_equal(f->result.keys, KEYS);
        buf_clear(&after);
        folder_each(f->path, add_content, &after);
        assert_int_equal(before.len, after.len);
        assert_memory_equal(before.ptr, after.ptr, before.len);
    }
    buf_fini(&before);
    buf_fini(&after);
}

static void a_damaged_page_is_dropped_and_the_rest_kept(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX], moved[FOLDER_MAX];
    int64_t before = total(f, 0, false), hours = total(f, RESOLUTION_1H, false);
    struct segment *segment;
    struct segment_page page;
    struct err err = {0};
    file_of(f, ".seg", 0, path);
    assert_true(segment_open(path, NULL, &segment, &err));
    assert_true(segment_pages(segment) >= 2);
    segment_page(segment, 1, &page);
    segment_put(&segment);
    content_flip(path, page.offset + page.bytes / 2, 4);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 1);
    assert_int_equal(f->result.repaired, 0);
    assert_non_null(strstr(buf_cstr(&f->told), strrchr(path, '/') + 1));
    assert_non_null(strstr(buf_cstr(&f->told), "at byte"));
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.damaged, 1);
    assert_int_equal(f->result.repaired, 1);
    uint64_t lost = f->lost_cells;
    assert_true(lost > 0 && lost < SERIES * 1440);
    snprintf(moved, sizeof moved, "%.300s/damaged%.150s", f->path, strrchr(path, '/'));
    assert_int_equal(access(moved, F_OK), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 0);
    int64_t after = total(f, 0, false);
    assert_true(after > 0 && after < before);
    assert_true(before - after <= (int64_t)lost * 999983);
    assert_int_equal(total(f, RESOLUTION_1H, true), hours); /* they have all of it */
}

static void coarser_cells_are_made_anew(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    int64_t before = total(f, RESOLUTION_1H, false);
    file_of(f, ".seg", RESOLUTION_1H, path);
    content_flip(path, 100, 4);
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.repaired, 1);
    assert_int_equal(f->lost_cells, 0);
    assert_int_equal(total(f, RESOLUTION_1H, true), before);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 0);
    assert_int_equal(f->result.segments, 2);
}

/* Without the raw cells nobody makes them anew: the file with one bad bit is all there is. */
static void coarser_cells_stay_while_raw_ones_are_absent(void **state)
{
    struct fixture *f = *state;
    char raw[FOLDER_MAX], hours[FOLDER_MAX], away[FOLDER_MAX];
    int64_t before = total(f, RESOLUTION_1H, false);
    snprintf(away, sizeof away, "%.400s/away", f->folder);
    file_of(f, ".seg", 0, raw);
    file_of(f, ".seg", RESOLUTION_1H, hours);
    assert_int_equal(rename(raw, away), 0);
    content_flip(hours, 100, 4);
    for (int i = 0; i < 2; i++) {
        verify(f, VERIFY_REPAIR);
        assert_int_equal(f->result.absent, 1);
        assert_int_equal(f->result.damaged, 1);
        assert_int_equal(f->result.repaired, 0);
        assert_string_equal(f->left, strrchr(hours, '/') + 1);
        assert_int_equal(access(hours, F_OK), 0);
    }
    assert_int_equal(rename(away, raw), 0);
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.repaired, 1);
    assert_string_equal(f->left, "");
    assert_int_equal(total(f, RESOLUTION_1H, true), before);
}

static void a_segment_that_does_not_open_goes(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    file_of(f, ".seg", 0, path);
    assert_int_equal(truncate(path, 100), 0);
    verify(f, VERIFY_REPAIR);
    assert_true(f->result.damaged >= 1);
    assert_int_equal(f->result.repaired, f->result.damaged);
    assert_int_equal(total(f, 0, false), 0);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 0);
}

/* It may lie elsewhere: a repair leaves it to its name, and it is all there when it is back.
 * Whoever knows that it is nowhere gives it up. */
static void a_segment_that_is_not_there_is_left(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX], away[FOLDER_MAX];
    int64_t all = total(f, 0, false);
    snprintf(away, sizeof away, "%.400s/away", f->folder);
    file_of(f, ".seg", 0, path);
    assert_int_equal(rename(path, away), 0);
    for (enum verify_mode mode = VERIFY_ONLY; mode <= VERIFY_REPAIR; mode++) {
        verify(f, mode);
        assert_int_equal(f->result.absent, 1);
        assert_int_equal(f->result.damaged, 0);
        assert_int_equal(f->result.repaired, 0);
        assert_true(f->result.starts);
    }
    assert_int_equal(rename(away, path), 0);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.absent, 0);
    assert_int_equal(total(f, 0, false), all);
    assert_int_equal(unlink(path), 0);
    verify(f, VERIFY_REPAIR | VERIFY_DISCARD);
    assert_int_equal(f->result.absent, 1);
    assert_int_equal(f->result.repaired, 0);
    verify(f, VERIFY_REPAIR | VERIFY_GIVE_UP);
    assert_int_equal(f->result.absent, 0);
    assert_int_equal(f->result.repaired, 1);
    assert_int_equal(total(f, 0, false), 0);
    assert_int_equal(total(f, RESOLUTION_1H, true), all);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged + f->result.absent, 0);
}

/* Every part of the raw segment by its name: what is left and what is told to be lost are what
 * there was, coarser cells have all of it, and the folder is whole again. */
static void every_part_of_a_segment(void **state)
{
    struct fixture *f = *state;
    struct {
        uint64_t from, to;
        bool harmless;
        const char *name;
    } parts[SECTION_END + 2];
    char path[FOLDER_MAX], kept[FOLDER_MAX];
    size_t n = 0;
    struct segment *s;
    struct err err = {0};
    int64_t all = total(f, 0, false);
    file_of(f, ".seg", 0, path);
    assert_true(segment_open(path, NULL, &s, &err));
    parts[n].name = "header", parts[n].to = HEADER_BYTES, parts[n].from = 0;
    parts[n++].harmless = true;
    for (size_t i = 0; i < s->footer.n_sections; i++) {
        const struct section *x = &s->footer.sections[i];
        parts[n].name = section_name(x->id), parts[n].from = x->offset;
        parts[n].to = x->offset + x->bytes;
        parts[n].harmless = x->id >= SECTION_POSTINGS;
        n += x->bytes > 0;
    }
    parts[n].name = "footer", parts[n].from = parts[n - 1].to, parts[n].to = s->file.size;
    parts[n++].harmless = true;
    segment_put(&s);
    snprintf(kept, sizeof kept, "%.400s/kept", f->folder);
    folder_copy(f->path, kept);
    for (size_t i = 0; i < n; i++) {
        folder_remove(f->path);
        folder_copy(kept, f->path);
        content_flip(path, (parts[i].from + parts[i].to) / 2, 4);
        verify(f, VERIFY_REPAIR);
        assert_int_equal(f->result.damaged, 1);
        assert_int_equal(f->result.repaired, 1);
        int64_t lost = f->lost_all ? all : f->lost_amount, left = total(f, 0, false);
        print_message(
            "%s: %lld of %lld are lost\n", parts[i].name, (long long)lost, (long long)all);
        assert_int_equal(left + lost, all);
        assert_true(!parts[i].harmless || lost == 0);
        assert_int_equal(total(f, RESOLUTION_1H, true), all);
        verify(f, VERIFY_ONLY);
        assert_int_equal(f->result.damaged, 0);
        assert_true(f->result.starts);
    }
    folder_remove(kept);
}

static void pages_of_runs_are_dropped(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    file_of(f, ".run", 0, path);
    content_flip(path, RUN_HEADER_BYTES + 4096 * 3 + 2000, 4);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 1);
    assert_non_null(strstr(buf_cstr(&f->told), "page 3"));
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.repaired, 1);
    assert_true(f->lost_keys > 0 && f->lost_keys < KEYS / 10);
    assert_int_equal(keys_found(f), KEYS - f->lost_keys);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 0);
    assert_true(f->result.starts);
}

/* The damaged file is kept until what tables have forgotten is purged. */
static void runs_that_are_put_away_are_purged(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    struct err err = {0};
    struct store_stats stats;
    uint32_t table, bytes;
    file_of(f, ".run", 0, path);
    content_flip(path, RUN_HEADER_BYTES + 4096 * 3 + 2000, 4);
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.put_away, 1);
    struct store *store = open_store(f);
    store_stats(store, &stats);
    assert_int_equal(stats.put_away, 1);
    assert_true(store_state_table(store, SLICE("seen"), &table, &bytes, &err));
    assert_true(store_state_purge(store, table, &err));
    assert_true(store_maintain(store, DAY_MS, &err));
    assert_false(store_state_purging(store));
    store_stats(store, &stats);
    assert_int_equal(stats.put_away, 0);
    store_close(&store);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.put_away, 0);
    assert_int_equal(f->result.damaged, 0);
}

/* Fences and the filter follow from the pages: nothing is lost. A damaged header takes all. */
static void fences_are_made_anew(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    struct stat st;
    file_of(f, ".run", 0, path);
    assert_int_equal(stat(path, &st), 0);
    content_flip(path, (uint64_t)st.st_size - 1, 4);
    verify(f, VERIFY_ONLY);
    assert_int_equal(f->result.damaged, 1);
    assert_false(f->result.starts);
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->lost_keys, 0);
    assert_true(f->result.starts);
    assert_int_equal(keys_found(f), KEYS);
    file_of(f, ".run", 0, path);
    content_flip(path, 20, 4);
    verify(f, VERIFY_REPAIR);
    assert_int_equal(f->result.repaired, 1);
    assert_int_equal(keys_found(f), 0);
}

static void what_stops_a_start_is_told(void **state)
{
    struct fixture *f = *state;
    char path[FOLDER_MAX];
    file_of(f, "/catalog-", 0, path);
    content_flip(path, 60, 4);
    verify(f, VERIFY_REPAIR);
    assert_false(f->result.starts);
    assert_int_equal(f->result.damaged, 1);
    assert_int_equal(f->result.repaired, 0);
    assert_non_null(strstr(buf_cstr(&f->told), path));
}

static void refusals(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    assert_false(store_verify("/nonexistent", false, NULL, &f->result, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    struct store *store = open_store(f);
    assert_false(store_verify(f->path, true, NULL, &f->result, &err));
    assert_int_equal(err.code, ERR_BUSY);
    store_close(&store);
    char path[FOLDER_MAX];
    file_of(f, "/manifest-", 0, path);
    content_flip(path, 40, 4);
    assert_false(store_verify(f->path, true, NULL, &f->result, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_folder_stays_as_it_is),
        TEST(a_damaged_page_is_dropped_and_the_rest_kept),
        TEST(coarser_cells_are_made_anew),
        TEST(coarser_cells_stay_while_raw_ones_are_absent),
        TEST(a_segment_that_does_not_open_goes),
        TEST(a_segment_that_is_not_there_is_left),
        TEST(every_part_of_a_segment),
        TEST(pages_of_runs_are_dropped),
        TEST(runs_that_are_put_away_are_purged),
        TEST(fences_are_made_anew),
        TEST(what_stops_a_start_is_told),
        TEST(refusals),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}

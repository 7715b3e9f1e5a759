#include "store/delete.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/seal.h"
#include "store/store_priv.h"

#define DELETIONS_FILE    "deletions"
#define DELETIONS_MAGIC   "LDEL"
#define DELETIONS_VERSION 2           /* written; 1 is read too */
#define DELETIONS_BYTES   (64u << 20) /* more is not read */
#define MATCHERS_MAX      256

static void deletion_fini(struct deletion *d)
{
    for (size_t i = 0; i < d->n_matchers; i++) {
        struct regex *regex = (struct regex *)(uintptr_t)d->matchers[i].regex;
        regex_free(&regex);
    }
    free(d->ids);
    arena_fini(&d->arena);
}

void deletions_fini(struct store *store)
{
    for (size_t i = 0; i < store->n_deletions; i++)
        deletion_fini(&store->deletions[i]);
    free(store->deletions);
    store->deletions = NULL;
    store->n_deletions = 0;
}

/* ---- the file ---- */

static bool save(struct store *store, struct err *err)
{
    struct buf body, file;
    char path[PATH_BYTES];
    if (store->n_deletions == 0)
        return path_join(path, store->path, DELETIONS_FILE, err) && file_remove(path, err) &&
               dir_sync(store->path, err);
    buf_init(&body, 0);
    buf_init(&file, 0);
    buf_le32(&body, store->manifest.number);
    buf_le64(&body, store->manifest.edits);
    buf_varint(&body, store->n_deletions);
    for (size_t i = 0; i < store->n_deletions; i++) {
        const struct deletion *d = &store->deletions[i];
        buf_le64(&body, d->lsn);
        buf_le64(&body, (uint64_t)d->from);
        buf_le64(&body, (uint64_t)d->to);
        buf_varint(&body, d->n_matchers);
        for (size_t k = 0; k < d->n_matchers; k++) {
            buf_u8(&body, (uint8_t)d->matchers[k].op);
            buf_lstr(&body, d->matchers[k].name);
            buf_lstr(&body, d->matchers[k].value);
        }
    }
    buf_add(&file, DELETIONS_MAGIC, 4);
    buf_le32(&file, DELETIONS_VERSION);
    buf_le32(&file, crc32c(0, buf_view(&body).ptr, buf_view(&body).len));
    buf_slice(&file, buf_view(&body));
    bool ok = file_replace(store->path, DELETIONS_FILE, buf_view(&file), err);
    buf_fini(&body);
    buf_fini(&file);
    return ok;
}

/* Copies a matcher; a pattern is compiled. */
static bool keep_matcher(
    struct deletion *d, enum match_op op, struct slice name, struct slice value, struct err *err)
{
    struct matcher *m = &d->matchers[d->n_matchers];
    struct regex *regex = NULL;
    if ((op == MATCH_REGEX || op == MATCH_NOT_REGEX) && !regex_new(value, &regex, err))
        return false;
    *m = (struct matcher){op, arena_slice(&d->arena, name), arena_slice(&d->arena, value), regex};
    d->n_matchers++;
    return true;
}

static bool select_ids(struct store *store, struct deletion *d, struct err *err)
{
    const struct matcher *all[MATCHERS_MAX];
    struct arena arena;
    uint32_t *ids;
    size_t n;
    arena_init(&arena, 0);
    for (size_t i = 0; i < d->n_matchers; i++)
        all[i] = &d->matchers[i];
    bool ok = catalog_select(&store->catalog, all, d->n_matchers, &arena, &ids, &n, err);
    if (ok && n) {
        d->ids = xreallocarray(NULL, n, sizeof *d->ids);
        memcpy(d->ids, ids, n * sizeof *ids);
        d->n_ids = n;
    }
    arena_fini(&arena);
    return ok;
}

static bool read_deletion(struct reader *r, struct deletion *d, struct err *err)
{
    *d = (struct deletion){0};
    arena_init(&d->arena, 0);
    d->lsn = read_le64(r);
    d->from = (int64_t)read_le64(r);
    d->to = (int64_t)read_le64(r);
    uint64_t n = read_varint(r);
    if (n > MATCHERS_MAX)
        return err_set(err, ERR_CORRUPT, "%" PRIu64 " matchers", n);
    d->matchers = arena_array(&d->arena, n, sizeof *d->matchers);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        uint8_t op = read_u8(r);
        struct slice name = read_lstr(r), value = read_lstr(r);
        if (op > MATCH_NOT_REGEX)
            return err_set(err, ERR_CORRUPT, "matcher of kind %u", op);
        if (!r->failed && !keep_matcher(d, (enum match_op)op, name, value, err))
            return false;
    }
    return true;
}

/* What a deletion covers was sealed before it. Without that edit of the manifest, whose damage may
 * look as if it had never ended, the log would show the cells again. */
static bool check_manifest(const struct store *store, struct reader *r, struct err *err)
{
    const struct manifest *m = &store->manifest;
    uint32_t number = read_le32(r);
    uint64_t edits = read_le64(r);
    if (m->number > number || (m->number == number && m->edits >= edits))
        return true;
    return err_set(err, ERR_CORRUPT,
        "%s/manifest-%06" PRIu32 " is damaged at byte %" PRIu64 ", behind edit %" PRIu64
        ": edit %" PRIu64 " of manifest-%06" PRIu32 " came before the last deletion",
        m->dir, m->number, m->bytes, m->edits, edits, number);
}

static bool read_all(struct store *store, struct slice file, struct err *err)
{
    struct reader r = reader_of(file);
    struct slice magic = read_bytes(&r, 4);
    uint32_t version = read_le32(&r), crc = read_le32(&r);
    if (r.failed || !slice_eq(magic, SLICE(DELETIONS_MAGIC)))
        return err_set(err, ERR_CORRUPT, "no file of deletions begins at byte 0");
    if (version == 0 || version > DELETIONS_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "version %u at byte 4", version);
    if (crc32c(0, r.at, reader_left(&r)) != crc)
        return err_set(err, ERR_CORRUPT, "the checksum at byte 8 does not hold");
    if (version > 1 && !check_manifest(store, &r, err))
        return false;
    uint64_t n = read_varint(&r);
    if (n > DELETIONS_MAX)
        return err_set(err, ERR_CORRUPT, "%" PRIu64 " deletions", n);
    store->deletions = xcalloc(DELETIONS_MAX, sizeof *store->deletions);
    while (store->n_deletions < n) {
        struct deletion *d = &store->deletions[store->n_deletions++];
        if (!read_deletion(&r, d, err) || !select_ids(store, d, err))
            return false;
        d->number = ++store->deletions_made;
    }
    return (!r.failed && reader_left(&r) == 0) || err_set(err, ERR_CORRUPT, "it ends early");
}

static bool find_file(void *ctx, const char *name, struct err *err)
{
    (void)err;
    if (strcmp(name, DELETIONS_FILE) == 0)
        *(bool *)ctx = true;
    return true;
}

bool deletions_load(struct store *store, struct err *err)
{
    char path[PATH_BYTES];
    struct buf file;
    bool found = false;
    if (!dir_each(store->path, find_file, &found, err))
        return false;
    if (!found)
        return true;
    buf_init(&file, 0);
    bool ok = path_join(path, store->path, DELETIONS_FILE, err) &&
              file_read(path, DELETIONS_BYTES, &file, err);
    if (ok && !read_all(store, buf_view(&file), err))
        ok = err_wrap(err, "%s", path);
    buf_fini(&file);
    return ok;
}

/* ---- what is left out ---- */

static bool covers(const struct deletion *d, uint32_t series)
{
    size_t lo = 0, hi = d->n_ids;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (d->ids[mid] < series)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n_ids && d->ids[lo] == series;
}

static int by_from(const void *a, const void *b)
{
    const struct merge_range *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Adds what overlaps up; ascending and apart afterwards. */
static size_t join_ranges(struct merge_range *ranges, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(ranges, n, sizeof *ranges, by_from);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && ranges[i].from <= ranges[kept - 1].to) {
            if (ranges[i].to > ranges[kept - 1].to)
                ranges[kept - 1].to = ranges[i].to;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

/* more_ms: cells of windows that are so much longer than one millisecond go too. */
static size_t ranges_of(const struct store *store, uint32_t series, uint64_t lsn, int64_t more_ms,
    struct merge_range *out)
{
    size_t n = 0;
    for (size_t i = 0; i < store->n_deletions; i++) {
        const struct deletion *d = &store->deletions[i];
        if (lsn <= d->lsn && covers(d, series))
            out[n++] = (struct merge_range){
                d->from, d->to > INT64_MAX - more_ms ? INT64_MAX : d->to + more_ms};
    }
    return join_ranges(out, n);
}

size_t deleted_ranges(
    const struct store *store, uint32_t series, uint64_t lsn, struct merge_range *out)
{
    return store->n_deletions ? ranges_of(store, series, lsn, 0, out) : 0;
}

bool columns_without(
    struct arena *arena, const struct merge_range *ranges, size_t n, struct columns *columns)
{
    struct columns kept[DELETIONS_MAX + 1];
    size_t k = 0;
    int64_t from = INT64_MIN;
    ensure(n <= DELETIONS_MAX);
    for (size_t i = 0; i <= n; i++) {
        int64_t to = i < n ? ranges[i].from : INT64_MAX;
        if (from < to)
            kept[k] = columns_slice(columns, from, to);
        if (from < to && kept[k].n > 0)
            k++;
        from = i < n ? ranges[i].to : from;
    }
    if (k > 0)
        return columns_merge(arena, kept, k, INT64_MIN, INT64_MAX, columns);
    *columns = (struct columns){.kind = columns->kind};
    return true;
}

/* ---- deleting ---- */

/* Seals the open blocks that the range touches; the writer is stopped. */
static bool seal_range(struct store *store, int64_t from, int64_t to, struct err *err)
{
    if (store->frozen && !seal_block(store, store->frozen->block->number, err))
        return false;
    for (bool more = true; more;) {
        int64_t number = 0;
        more = false;
        store_lock_settled(store);
        for (size_t i = 0; !more && i < store->head.n_blocks; i++) {
            const struct head_block *b = store->head.blocks[i];
            more = b->start < to && b->start + store->options.block_ms > from;
            number = b->number;
        }
        store_unlock(store);
        if (more && !seal_block(store, number, err))
            return false;
    }
    return true;
}

static bool add(struct store *store, const struct deletion *take, struct err *err)
{
    if (!store->deletions)
        store->deletions = xcalloc(DELETIONS_MAX, sizeof *store->deletions);
    store_lock_write(store);
    store->deletions[store->n_deletions] = *take;
    store->deletions[store->n_deletions++].number = ++store->deletions_made;
    store_unlock(store);
    if (save(store, err))
        return true;
    store_lock_write(store);
    store->n_deletions--;
    store_unlock(store);
    return false;
}

/* `seal` is held, and the writer is stopped. */
static bool delete_now(struct store *store, struct deletion *d, struct err *err)
{
    if (!select_ids(store, d, err))
        return false;
    if (d->n_ids == 0) {
        deletion_fini(d);
        return true;
    }
    if (!seal_range(store, d->from, d->to, err))
        return false;
    d->lsn = store->lsn;
    bool ok = add(store, d, err);
    changes_note(store, d->ids, d->n_ids, d->from, d->to); /* for a moment, when it failed */
    return ok;
}

bool store_delete(struct store *store, const struct matcher *matchers, size_t n, int64_t from_ms,
    int64_t to_ms, uint64_t *series, struct err *err)
{
    struct deletion d = {.from = from_ms, .to = to_ms};
    *series = 0;
    if (!store->path)
        return err_set(err, ERR_UNSUPPORTED, "a store in memory only deletes nothing");
    if (from_ms >= to_ms)
        return true;
    if (n > MATCHERS_MAX)
        return err_set(err, ERR_LIMIT, "%zu matchers; %d are allowed", n, MATCHERS_MAX);
    arena_init(&d.arena, 0);
    d.matchers = arena_array(&d.arena, n, sizeof *d.matchers);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = keep_matcher(&d, matchers[i].op, matchers[i].name, matchers[i].value, err);
    mutex_lock(&store->seal);
    ok = ok && store_settle(store, err);
    if (ok && store->n_deletions == DELETIONS_MAX)
        ok = err_set(err, ERR_LIMIT, "%d deletions wait for maintenance already", DELETIONS_MAX);
    if (ok) {
        struct txn *none = txn_begin_alone(store);
        ok = delete_now(store, &d, err);
        txn_abort(&none);
    }
    if (ok)
        *series = d.n_ids;
    mutex_unlock(&store->seal);
    if (!ok)
        deletion_fini(&d);
    return ok;
}

/* ---- rewriting ---- */

struct rewrite {
    struct store *store;
    uint64_t lsn;
    int64_t more_ms;
    struct merge_range ranges[DELETIONS_MAX];
};

static bool leave_out(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    struct rewrite *r = ctx;
    (void)def;
    catalog_lock_read(&r->store->catalog);
    uint32_t id = catalog_find_series(&r->store->catalog, labels);
    catalog_unlock(&r->store->catalog);
    *n = id == MAP_NONE ? 0 : ranges_of(r->store, id, r->lsn, r->more_ms, r->ranges);
    *out = r->ranges;
    return true;
}

bool segment_rewrite(struct store *store, size_t at, const struct merge_options *options,
    char name[SEGMENT_NAME_MAX], struct err *err)
{
    const struct attached *a = &store->segments[at];
    const struct segment_info *info = segment_info(a->segment);
    struct segment *segment = a->segment;
    struct segment_input input;
    struct segment_info written = {0};
    struct merge *merge;
    char dir[PATH_BYTES];
    merge_new(&segment, 1, options, &merge);
    bool ok = merge_input(merge, &input, err) && path_join(dir, store->path, "seg", err);
    input.t0 = info->t0;
    input.t1 = info->t1;
    ok = ok && (segment_write(dir, &input, &written, err) || merge_is_empty(merge));
    merge_free(&merge);
    snprintf(name, SEGMENT_NAME_MAX, "%s", written.name);
    if (!ok || strcmp(written.name, info->name) == 0)
        return ok;
    struct manifest_segment output = {.lsn = a->lsn, .derived = a->derived, .inputs = a->inputs};
    const char *drop = info->name;
    memcpy(output.name, name, sizeof output.name);
    struct manifest_edit edit = {
        .drops = &drop, .n_drops = 1, .adds = &output, .n_adds = written.series ? 1 : 0};
    log_info("rewriting %s: %" PRIu64 " of %" PRIu64 " cells are left", drop, written.cells,
        info->cells);
    return segments_change(store, &edit, err);
}

/* Whether the segment may have cells that the deletion covers, by their times. */
static bool overlaps(const struct attached *a, const struct deletion *d)
{
    const struct segment_info *info = segment_info(a->segment);
    int64_t more = info->resolution_ms > 0 ? info->resolution_ms - 1 : 0;
    return a->lsn <= d->lsn && info->max_t > d->from &&
           (d->to > INT64_MAX - more || info->min_t <= d->to + more);
}

bool deletion_touches(const struct store *store, uint32_t series, const struct attached *segment)
{
    for (size_t i = 0; i < store->n_deletions; i++)
        if (overlaps(segment, &store->deletions[i]) && covers(&store->deletions[i], series))
            return true;
    return false;
}

/* *dirty: whether the segment has series of a deletion that is not carried out in it yet. */
static bool is_dirty(struct store *store, const struct attached *a, bool *dirty, struct err *err)
{
    uint32_t *ids = NULL;
    size_t n = 0;
    *dirty = false;
    for (size_t k = 0; k < store->n_deletions && !*dirty; k++) {
        const struct deletion *d = &store->deletions[k];
        if (a->clean >= d->number || !overlaps(a, d))
            continue;
        if (!ids && !attached_ids(a, &ids, &n, err))
            return false;
        for (size_t i = 0; i < n && !*dirty; i++)
            *dirty = covers(d, ids[i]);
    }
    free(ids);
    return true;
}

/* After everything is rewritten: the last traces, then the deletions themselves. */
static bool finish(struct store *store, struct err *err)
{
    size_t n = store->n_deletions;
    if (!forget_series(store, true, err))
        return false;
    struct deletion *done = store->deletions;
    store_lock_write(store);
    store->deletions = NULL;
    store->n_deletions = 0;
    store->deletions_done += n;
    store_unlock(store);
    for (size_t i = 0; i < n; i++)
        deletion_fini(&done[i]);
    free(done);
    log_info("%zu deletions are complete", n);
    return save(store, err);
}

static bool clean(struct store *store, size_t at, struct err *err)
{
    const struct attached *a = &store->segments[at];
    int64_t resolution = segment_info(a->segment)->resolution_ms;
    struct rewrite r = {
        .store = store, .lsn = a->lsn, .more_ms = resolution > 0 ? resolution - 1 : 0};
    struct merge_options options = {.filter = leave_out, .ctx = &r};
    char name[SEGMENT_NAME_MAX];
    if (!segment_rewrite(store, at, &options, name, err))
        return false;
    for (size_t i = 0; i < store->n_segments; i++)
        if (strcmp(segment_info(store->segments[i].segment)->name, name) == 0)
            store->segments[i].clean = store->deletions_made;
    return true;
}

bool deletions_step(struct store *store, bool *did, struct err *err)
{
    *did = store->n_deletions > 0;
    for (size_t i = 0; *did && i < store->n_segments; i++) {
        bool dirty;
        if (!is_dirty(store, &store->segments[i], &dirty, err))
            return false;
        if (dirty)
            return clean(store, i, err);
        store->segments[i].clean = store->deletions_made;
    }
    return !*did || finish(store, err);
}

bool store_delete_finish(struct store *store, struct err *err)
{
    bool did = true, ok = true;
    mutex_lock(&store->seal);
    if (store->frozen)
        ok = seal_block(store, store->frozen->block->number, err);
    while (ok && did && store->path)
        ok = deletions_step(store, &did, err);
    mutex_unlock(&store->seal);
    return ok;
}

/* ---- series without cells ---- */

static void mark(uint64_t *live, uint32_t series)
{
    live[series / 64] |= 1ull << (series % 64);
}

static void mark_block(uint64_t *live, const struct head_block *block)
{
    size_t n;
    uint32_t *ids = head_block_series(block, &n);
    for (size_t i = 0; i < n; i++)
        mark(live, ids[i]);
    free(ids);
}

static bool mark_segment(uint64_t *live, size_t n_series, const struct attached *a, struct err *err)
{
    uint32_t *ids;
    size_t n;
    if (!attached_ids(a, &ids, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < n_series)
            mark(live, ids[i]);
    free(ids);
    return true;
}

/* The writer is stopped. */
static bool remove_dead(struct store *store, size_t *removed, struct err *err)
{
    size_t n_series = store->catalog.n_series, n = 0, cap = 0;
    uint64_t *live = xcalloc(n_series / 64 + 1, sizeof *live);
    uint32_t *dead = NULL;
    bool ok = true;
    *removed = 0;
    for (size_t i = 0; ok && i < store->n_segments; i++)
        ok = mark_segment(live, n_series, &store->segments[i], err);
    if (!ok) {
        free(live);
        return false;
    }
    store_lock_write(store);
    for (size_t i = 0; i < store->head.n_blocks; i++)
        mark_block(live, store->head.blocks[i]);
    if (store->frozen)
        mark_block(live, store->frozen->block);
    for (size_t id = 0; id < n_series; id++)
        if (!(live[id / 64] >> (id % 64) & 1) && catalog_has(&store->catalog, (uint32_t)id)) {
            GROW(dead, cap, n + 1);
            dead[n++] = (uint32_t)id;
        }
    if (n)
        catalog_remove(&store->catalog, dead, n);
    store_unlock(store);
    free(live);
    free(dead);
    *removed = n;
    return true;
}

bool forget_series(struct store *store, bool checkpoint, struct err *err)
{
    struct txn *none = txn_begin_alone(store);
    size_t n;
    bool ok = remove_dead(store, &n, err);
    txn_abort(&none);
    if (!ok)
        return false;
    if (n)
        log_info("%zu series have no cell left and are forgotten", n);
    return (n == 0 && !checkpoint) || checkpoint_write(store, err);
}

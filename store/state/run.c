#include "store/state/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/run_cursor.h"
#include "store/state/run_filter.h"
#include "store/state/run_layout.h"
#include "store/state/run_page.h"

/* So many runs keep their file open; the others open it for each read. */
#define RUN_FILES_MAX 256
#define READ_BYTES    (1u << 20)

struct run {
    atomic_uint refs;
    atomic_bool doomed;
    uint64_t number; /* in the cache; never used again */
    int fd;          /* -1: opened for each read */
    char path[PATH_BYTES];
    struct run_info info;
    uint64_t filter_lines;
    uint64_t *filter;
    struct hash128 *fences;
};

static atomic_uint open_files;
static atomic_uint_least64_t numbers;

/* ---- reading bytes ---- */

static bool read_fully(
    const struct run *run, int fd, uint64_t at, void *out, size_t len, struct err *err)
{
    uint8_t *p = out;
    while (len) {
        ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "cannot read %s at byte %" PRIu64, run->path, at);
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "%s: ends at byte %" PRIu64 " of %" PRIu64, run->path,
                at, run->info.bytes);
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_bytes_at(
    const struct run *run, uint64_t at, void *out, size_t len, struct err *err)
{
    if (run->fd >= 0)
        return read_fully(run, run->fd, at, out, len, err);
    int fd = open(run->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open %s", run->path);
    bool ok = read_fully(run, fd, at, out, len, err);
    close(fd);
    return ok;
}

bool run_read_pages(
    const struct run *run, uint32_t first, uint32_t count, uint8_t *out, struct err *err)
{
    ensure(count <= run->info.pages && first <= run->info.pages - count);
    return read_bytes_at(run, RUN_HEADER_BYTES + (uint64_t)first * run->info.page_bytes, out,
        (size_t)count * run->info.page_bytes, err);
}

bool run_page_failed(const struct run *run, uint32_t page, struct err *err)
{
    return err_wrap(err, "%s: page %" PRIu32 " at byte %" PRIu64, run->path, page,
        RUN_HEADER_BYTES + (uint64_t)page * run->info.page_bytes);
}

/* ---- opening ---- */

static bool load_header(
    struct run *run, const char *name, struct run_header *header, struct err *err)
{
    uint8_t bytes[RUN_HEADER_BYTES];
    struct stat st;
    if (fstat(run->fd, &st) != 0)
        return err_sys(err, "cannot read %s", run->path);
    run->info.bytes = (uint64_t)st.st_size;
    if (!read_fully(run, run->fd, 0, bytes, sizeof bytes, err) ||
        !run_header_get(bytes, run->path, header, err))
        return false;
    if (strcmp(header->info.name, name) != 0)
        return err_set(err, ERR_CORRUPT, "%s: the header at byte 0 says that it is %s", run->path,
            header->info.name);
    if (header->info.bytes != (uint64_t)st.st_size)
        return err_set(err, ERR_CORRUPT, "%s ends at byte %llu, and the header says %" PRIu64,
            run->path, (unsigned long long)st.st_size, header->info.bytes);
    run->info = header->info;
    run->filter_lines = header->filter_lines;
    return true;
}

static bool load_fences(struct run *run, uint32_t expected, struct err *err)
{
    uint64_t at = run_fences_at(&run->info);
    size_t bytes = (size_t)run->info.pages * RUN_FENCE_BYTES;
    uint8_t *raw = xmalloc(bytes);
    bool ok = read_fully(run, run->fd, at, raw, bytes, err);
    if (ok && crc32c(0, raw, bytes) != expected)
        ok = err_set(err, ERR_CORRUPT, "%s: fences at byte %" PRIu64 ": checksum does not match",
            run->path, at);
    run->fences = xreallocarray(NULL, run->info.pages, sizeof *run->fences);
    for (uint32_t i = 0; ok && i < run->info.pages; i++) {
        const uint8_t *p = raw + (size_t)i * RUN_FENCE_BYTES;
        run->fences[i] = (struct hash128){.hi = le64_get(p), .lo = le64_get(p + 8)};
        if (i && state_key_cmp(run->fences[i - 1], run->fences[i]) >= 0)
            ok = err_set(err, ERR_CORRUPT,
                "%s: fences at byte %" PRIu64 ": number %" PRIu32 " does not ascend", run->path, at,
                i);
    }
    free(raw);
    return ok;
}

static bool load_filter(struct run *run, uint32_t expected, struct err *err)
{
    uint64_t at = run_filter_at(&run->info);
    size_t bytes = (size_t)run->filter_lines * FILTER_LINE_BYTES;
    run->filter = filter_new(run->filter_lines);
    if (!read_fully(run, run->fd, at, run->filter, bytes, err))
        return false;
    if (crc32c(0, run->filter, bytes) != expected)
        return err_set(err, ERR_CORRUPT, "%s: filter at byte %" PRIu64 ": checksum does not match",
            run->path, at);
    for (size_t i = 0; i < bytes / 8; i++)
        run->filter[i] = le64_get(&run->filter[i]);
    return true;
}

static void close_fd(struct run *run)
{
    if (run->fd >= 0)
        close(run->fd);
    run->fd = -1;
    atomic_fetch_sub(&open_files, 1);
}

bool run_open(const char *dir, const char *name, struct run **out, struct err *err)
{
    struct run *run = xcalloc(1, sizeof *run);
    struct run_header header = {0};
    *out = NULL;
    atomic_init(&run->refs, 1);
    atomic_init(&run->doomed, false);
    run->number = atomic_fetch_add(&numbers, 1) + 1;
    run->fd = -1;
    bool ok = path_join(run->path, dir, name, err);
    if (ok) {
        run->fd = open(run->path, O_RDONLY | O_CLOEXEC);
        if (run->fd < 0)
            ok = err_sys(err, "cannot open %s", run->path);
    }
    bool many = atomic_fetch_add(&open_files, 1) >= RUN_FILES_MAX;
    ok = ok && load_header(run, name, &header, err) && load_fences(run, header.fences_crc, err) &&
         load_filter(run, header.filter_crc, err);
    if (!ok) {
        close_fd(run);
        run->fd = -1;
        free(run->fences);
        free(run->filter);
        free(run);
        return false;
    }
    if (many)
        close_fd(run);
    *out = run;
    return true;
}

struct run *run_ref(struct run *run)
{
    atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
    return run;
}

void run_unref(struct run **run)
{
    struct run *r = *run;
    *run = NULL;
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (r->fd >= 0)
        close_fd(r);
    if (atomic_load(&r->doomed))
        unlink(r->path); /* a file that stays is swept away by the next start */
    free(r->fences);
    free(r->filter);
    free(r);
}

void run_doom(struct run *run)
{
    atomic_store(&run->doomed, true);
}

const struct run_info *run_info(const struct run *run)
{
    return &run->info;
}

const char *run_path(const struct run *run)
{
    return run->path;
}

size_t run_memory(const struct run *run)
{
    return sizeof *run + (size_t)run->info.pages * sizeof *run->fences +
           (size_t)run->filter_lines * FILTER_LINE_BYTES;
}

/* ---- getting ---- */

void run_prefetch(const struct run *run, struct hash128 key)
{
    filter_prefetch(run->filter, run->filter_lines, key);
}

bool run_may_have(const struct run *run, struct hash128 key)
{
    return filter_has(run->filter, run->filter_lines, key);
}

uint32_t run_page_of(const struct run *run, struct hash128 key)
{
    uint32_t lo = 0, hi = run->info.pages;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (state_key_cmp(run->fences[mid], key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? lo - 1 : 0;
}

struct lookup {
    const struct run *run;
    struct hash128 key;
    void *record;
    enum run_answer answer;
};

/* The page was checked. */
static void look_up(void *ctx, const uint8_t *bytes)
{
    struct lookup *l = ctx;
    struct run_page page;
    run_page_view(bytes, l->run->info.record_bytes, &page);
    uint32_t i = run_page_find(&page, l->key);
    l->answer = i == page.n ? RUN_ABSENT : run_page_deleted(&page, i) ? RUN_DELETED : RUN_PRESENT;
    if (l->answer == RUN_PRESENT && l->record && page.record_bytes)
        memcpy(l->record, run_page_record(&page, i), page.record_bytes);
}

bool run_get(struct run *run, struct run_cache *cache, struct hash128 key, void *record,
    enum run_answer *answer, struct err *err)
{
    struct lookup l = {run, key, record, RUN_ABSENT};
    struct run_page page;
    *answer = RUN_ABSENT;
    if (state_key_cmp(key, run->info.min) < 0 || state_key_cmp(key, run->info.max) > 0 ||
        !run_may_have(run, key))
        return true;
    uint32_t number = run_page_of(run, key), bytes = run->info.page_bytes;
    if (!run_cache_use(cache, run->number, number, look_up, &l)) {
        uint8_t *fresh = xmalloc(bytes);
        if (!run_read_pages(run, number, 1, fresh, err) ||
            (!run_page_check(fresh, bytes, run->info.record_bytes, number, &page, err) &&
                !run_page_failed(run, number, err))) {
            free(fresh);
            return false;
        }
        look_up(&l, fresh);
        run_cache_add(cache, run->number, number, fresh, bytes);
    }
    *answer = l.answer;
    return true;
}

/* ---- checking all of it ---- */

struct tally {
    uint64_t entries, deleted;
    struct hash128 last;
};

static bool verify_entry(
    const struct run *run, const struct run_cursor *c, struct tally *t, struct err *err)
{
    struct hash128 key = run_cursor_key(c);
    bool first = run_cursor_first(c);
    if ((first && !hash128_eq(run->fences[run_cursor_page(c)], key)) || !run_may_have(run, key) ||
        (t->entries == 0 && !hash128_eq(run->info.min, key))) {
        err_set(err, ERR_CORRUPT, "fence, filter or bounds do not know a key");
        return run_page_failed(run, run_cursor_page(c), err);
    }
    t->entries++;
    t->deleted += run_cursor_deleted(c);
    t->last = key;
    return true;
}

bool run_verify(const struct run *run, struct err *err)
{
    struct tally t = {0};
    struct run_cursor *c = run_cursor_new(run);
    bool ok = run_cursor_seek(c, (struct hash128){0}, err);
    while (ok && !run_cursor_ended(c))
        ok = verify_entry(run, c, &t, err) && run_cursor_next(c, err);
    run_cursor_free(&c);
    if (ok && (t.entries != run->info.entries || t.deleted != run->info.deleted ||
                  !hash128_eq(t.last, run->info.max)))
        ok = err_set(err, ERR_CORRUPT,
            "%s: header at byte 0: %" PRIu64 " keys, and the pages hold %" PRIu64, run->path,
            run->info.entries, t.entries);
    return ok;
}

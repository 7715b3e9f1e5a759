#include "store/state/run_repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/run_layout.h"
#include "store/state/run_page.h"
#include "store/state/run_writer.h"

struct repair {
    int fd;
    char path[PATH_BYTES];
    struct run_header header;
    struct run_writer *writer;
    struct hash128 last;
    bool any;
    struct run_repaired *out;
};

/* Exactly len bytes; false: they are not there, or cannot be read. */
static bool read_at(const struct repair *r, uint64_t at, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t n = pread(r->fd, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* Keys ascend within a page that passes its check only when its writer was right: one that does not
 * is left out like one that is damaged. */
static bool ascends(const struct repair *r, const struct run_page *page, const uint64_t *hi)
{
    struct hash128 last = r->last;
    for (uint32_t i = 0; i < page->n; i++) {
        struct hash128 key = {.hi = hi[i], .lo = run_page_lo(page, i)};
        if ((i > 0 || r->any) && state_key_cmp(last, key) >= 0)
            return false;
        last = key;
    }
    return true;
}

static bool copy_page(struct repair *r, uint32_t number, uint8_t *bytes, struct err *err)
{
    const struct run_info *info = &r->header.info;
    struct run_page page;
    uint64_t hi[RUN_PAGE_ENTRIES_MAX];
    bool whole = read_at(r, RUN_HEADER_BYTES + (uint64_t)number * info->page_bytes, bytes,
                     info->page_bytes) &&
                 run_page_check(bytes, info->page_bytes, info->record_bytes, number, &page, NULL);
    if (whole) {
        run_page_unpack(&page, hi);
        whole = ascends(r, &page, hi);
    }
    if (!whole) {
        r->out->lost_pages++;
        return true;
    }
    for (uint32_t i = 0; i < page.n; i++) {
        bool deleted = run_page_deleted(&page, i);
        r->last = (struct hash128){.hi = hi[i], .lo = run_page_lo(&page, i)};
        r->any = true;
        r->out->lost_entries--;
        if (!run_writer_add(
                r->writer, r->last, deleted, deleted ? NULL : run_page_record(&page, i), err))
            return false;
    }
    return true;
}

static bool open_old(struct repair *r, const char *dir, const char *name, struct err *err)
{
    uint8_t bytes[RUN_HEADER_BYTES];
    if (!path_join(r->path, dir, name, err))
        return false;
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return err_sys(err, "cannot open %s", r->path);
    if (!read_at(r, 0, bytes, sizeof bytes))
        return err_set(err, ERR_CORRUPT, "%s: the header cannot be read", r->path);
    return run_header_get(bytes, r->path, &r->header, err);
}

bool run_repair(const char *dir, const char *name, struct run_repaired *out, struct err *err)
{
    struct repair r = {.fd = -1, .out = out};
    *out = (struct run_repaired){0};
    uint8_t *page = xmalloc(RUN_PAGE_BYTES_MAX);
    bool ok = open_old(&r, dir, name, err);
    const struct run_info *info = &r.header.info;
    if (ok) {
        struct run_plan plan = {info->table, info->record_bytes, info->level, info->generation,
            info->lsn, info->entries};
        out->pages = info->pages;
        out->entries = out->lost_entries = info->entries;
        ok = run_writer_new(dir, &plan, &r.writer, err);
    }
    for (uint32_t i = 0; ok && i < info->pages; i++)
        ok = copy_page(&r, i, page, err);
    ok = ok && run_writer_finish(r.writer, out->name, err);
    run_writer_free(&r.writer);
    if (r.fd >= 0)
        close(r.fd);
    free(page);
    return ok;
}

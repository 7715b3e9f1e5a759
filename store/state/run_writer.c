#include "store/state/run_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/outfile.h"
#include "store/state/memtable.h"
#include "store/state/run_filter.h"
#include "store/state/run_layout.h"
#include "store/state/run_page.h"

#define WRITE_BYTES (1u << 20)

struct run_writer {
    struct outfile file;
    struct run_header header;
    struct run_page_builder page;
    uint64_t keys_max;
    uint64_t *filter;
    struct buf pending; /* pages that are not written yet */
    struct buf fences;
    struct buf crcs; /* of all pages: the file's name comes from them */
};

bool run_writer_new(
    const char *dir, const struct run_plan *plan, struct run_writer **out, struct err *err)
{
    struct run_writer *w = xcalloc(1, sizeof *w);
    struct run_info *i = &w->header.info;
    ensure(plan->record_bytes <= STATE_RECORD_BYTES_MAX && plan->lsn > 0);
    ensure(strlen(plan->table) > 0 && strlen(plan->table) <= STATE_TABLE_NAME_MAX);
    *out = NULL;
    snprintf(i->table, sizeof i->table, "%s", plan->table);
    i->record_bytes = plan->record_bytes;
    i->level = plan->level;
    i->generation = plan->generation;
    i->lsn = plan->lsn;
    i->page_bytes = run_page_bytes(plan->record_bytes);
    run_page_builder_init(&w->page, plan->record_bytes);
    w->keys_max = plan->keys_max;
    w->header.filter_lines = filter_lines(plan->keys_max);
    w->filter = filter_new(w->header.filter_lines);
    buf_init(&w->pending, 0);
    buf_init(&w->fences, 0);
    buf_init(&w->crcs, 0);
    static const char zeros[RUN_HEADER_BYTES];
    if (!outfile_open(&w->file, dir, err) ||
        !outfile_add(&w->file, slice_of(zeros, sizeof zeros), err)) {
        run_writer_free(&w);
        return false;
    }
    *out = w;
    return true;
}

void run_writer_free(struct run_writer **writer)
{
    struct run_writer *w = *writer;
    *writer = NULL;
    if (!w)
        return;
    outfile_discard(&w->file);
    run_page_builder_fini(&w->page);
    free(w->filter);
    buf_fini(&w->pending);
    buf_fini(&w->fences);
    buf_fini(&w->crcs);
    free(w);
}

static bool write_pending(struct run_writer *w, size_t least, struct err *err)
{
    if (w->pending.len < least || w->pending.len == 0)
        return true;
    bool ok = outfile_add(&w->file, buf_view(&w->pending), err);
    buf_clear(&w->pending);
    return ok;
}

static bool finish_page(struct run_writer *w, struct err *err)
{
    struct run_info *i = &w->header.info;
    if (w->page.n == 0)
        return true;
    if (i->pages == UINT32_MAX)
        return err_set(err, ERR_LIMIT, "a state run of more than %u pages", i->pages);
    buf_le64(&w->fences, w->page.keys[0].hi);
    buf_le64(&w->fences, w->page.keys[0].lo);
    uint8_t *out = (uint8_t *)buf_reserve(&w->pending, i->page_bytes);
    buf_le32(&w->crcs, run_page_finish(&w->page, i->pages, out));
    w->pending.len += i->page_bytes;
    i->pages++;
    return write_pending(w, WRITE_BYTES, err);
}

bool run_writer_add(
    struct run_writer *w, struct hash128 key, bool deleted, const uint8_t *record, struct err *err)
{
    struct run_info *i = &w->header.info;
    ensure(i->entries < w->keys_max);
    ensure(i->entries == 0 || state_key_cmp(i->max, key) < 0);
    if (!run_page_add(&w->page, key, deleted, record)) {
        if (!finish_page(w, err))
            return false;
        ensure(run_page_add(&w->page, key, deleted, record));
    }
    filter_add(w->filter, w->header.filter_lines, key);
    if (i->entries == 0)
        i->min = key;
    i->max = key;
    i->entries++;
    i->deleted += deleted;
    return true;
}

static bool add_filter(struct run_writer *w, struct err *err)
{
    size_t words = (size_t)w->header.filter_lines * FILTER_LINE_WORDS;
    for (size_t i = 0; i < words; i++)
        le64_put(&w->filter[i], w->filter[i]);
    struct slice bytes = slice_of((const char *)w->filter, words * 8);
    w->header.filter_crc = crc32c(0, bytes.ptr, bytes.len);
    return outfile_add(&w->file, bytes, err);
}

/* Over the header without its name, which says the CRCs of fences and filter, and the CRCs of all
 * pages: of everything. */
static struct hash128 content_id(struct run_writer *w, uint8_t header[RUN_HEADER_BYTES])
{
    w->header.id = (struct hash128){0};
    run_header_put(header, &w->header);
    buf_add(&w->crcs, header, RUN_HEADER_BYTES);
    return hash128(w->crcs.ptr, w->crcs.len);
}

bool run_writer_finish(struct run_writer *w, char name[RUN_NAME_MAX], struct err *err)
{
    uint8_t header[RUN_HEADER_BYTES];
    name[0] = 0;
    if (w->header.info.entries == 0)
        return true;
    if (!finish_page(w, err) || !write_pending(w, 0, err) ||
        !outfile_add(&w->file, buf_view(&w->fences), err) || !add_filter(w, err))
        return false;
    w->header.fences_crc = crc32c(0, w->fences.ptr, w->fences.len);
    w->header.id = content_id(w, header);
    run_header_put(header, &w->header);
    run_name(w->header.id, name);
    return outfile_finish(&w->file, slice_of((const char *)header, sizeof header), name, err);
}

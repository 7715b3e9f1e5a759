#include "store/state/run_cursor.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/state/memtable.h"
#include "store/state/run.h"
#include "store/state/run_page.h"

/* Read at once when the cursor goes on from page to page; a seek reads one page. */
#define AHEAD_BYTES (128u << 10)

struct run_cursor {
    const struct run *run;
    uint8_t *bytes;
    uint32_t first, count, room; /* pages in bytes */
    uint32_t number, at;         /* the page, and the key's place in it */
    struct run_page page;
    uint64_t hi[RUN_PAGE_ENTRIES_MAX];
    struct hash128 last;
    bool any, ended; /* any: last is valid */
};

struct run_cursor *run_cursor_new(const struct run *run)
{
    struct run_cursor *c = xcalloc(1, sizeof *c);
    uint32_t page_bytes = run_info(run)->page_bytes;
    c->run = run;
    c->room = AHEAD_BYTES / page_bytes;
    c->bytes = xmalloc((size_t)c->room * page_bytes);
    c->ended = true;
    return c;
}

void run_cursor_free(struct run_cursor **cursor)
{
    struct run_cursor *c = *cursor;
    *cursor = NULL;
    if (!c)
        return;
    free(c->bytes);
    free(c);
}

static bool load(struct run_cursor *c, uint32_t number, uint32_t ahead, struct err *err)
{
    const struct run_info *info = run_info(c->run);
    if (number < c->first || number >= c->first + c->count) {
        c->first = number;
        c->count = 0;
        uint32_t count = ahead < info->pages - number ? ahead : info->pages - number;
        if (!run_read_pages(c->run, number, count, c->bytes, err))
            return false;
        c->count = count;
    }
    const uint8_t *bytes = c->bytes + (size_t)(number - c->first) * info->page_bytes;
    if (!run_page_check(bytes, info->page_bytes, info->record_bytes, number, &c->page, err))
        return run_page_failed(c->run, number, err);
    run_page_unpack(&c->page, c->hi);
    c->number = number;
    c->at = 0;
    return true;
}

static bool check_order(struct run_cursor *c, struct err *err)
{
    struct hash128 key = run_cursor_key(c);
    if (c->any && state_key_cmp(c->last, key) >= 0) {
        err_set(err, ERR_CORRUPT, "keys do not ascend");
        return run_page_failed(c->run, c->number, err);
    }
    c->last = key;
    c->any = true;
    return true;
}

static bool step(struct run_cursor *c, struct err *err)
{
    if (++c->at < c->page.n)
        return check_order(c, err);
    if (c->number + 1 == run_info(c->run)->pages) {
        c->ended = true;
        return true;
    }
    return load(c, c->number + 1, c->room, err) && check_order(c, err);
}

bool run_cursor_seek(struct run_cursor *c, struct hash128 key, struct err *err)
{
    c->any = false;
    c->ended = false;
    bool ok = load(c, run_page_of(c->run, key), 1, err) && check_order(c, err);
    while (ok && !c->ended && state_key_cmp(run_cursor_key(c), key) < 0)
        ok = step(c, err);
    c->ended = c->ended || !ok;
    return ok;
}

bool run_cursor_next(struct run_cursor *c, struct err *err)
{
    bool ok = step(c, err);
    c->ended = c->ended || !ok;
    return ok;
}

bool run_cursor_ended(const struct run_cursor *c)
{
    return c->ended;
}

struct hash128 run_cursor_key(const struct run_cursor *c)
{
    return (struct hash128){.hi = c->hi[c->at], .lo = run_page_lo(&c->page, c->at)};
}

bool run_cursor_deleted(const struct run_cursor *c)
{
    return run_page_deleted(&c->page, c->at);
}

const uint8_t *run_cursor_record(const struct run_cursor *c)
{
    return run_page_record(&c->page, c->at);
}

uint32_t run_cursor_page(const struct run_cursor *c)
{
    return c->number;
}

bool run_cursor_first(const struct run_cursor *c)
{
    return c->at == 0;
}

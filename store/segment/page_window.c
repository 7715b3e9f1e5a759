#include "store/segment/page_window.h"

_Static_assert(
    2 + CHUNK_BASES_MAX <= PAGE_WINDOW, "the pages of a chunk do not push each other out");

void page_window_init(struct page_window *window, const struct segment *segment)
{
    *window = (struct page_window){.segment = segment};
    for (int i = 0; i < PAGE_WINDOW; i++)
        arena_init(&window->pages[i].arena, 0);
}

void page_window_fini(struct page_window *window)
{
    for (int i = 0; i < PAGE_WINDOW; i++)
        arena_fini(&window->pages[i].arena);
}

static bool get_page(struct page_window *w, uint32_t page, struct slice *raw, struct err *err)
{
    struct fetched_page *slot = &w->pages[0];
    for (int i = 0; i < PAGE_WINDOW; i++) {
        struct fetched_page *p = &w->pages[i];
        if (p->raw.ptr && p->page == page) {
            p->used = ++w->clock;
            *raw = p->raw;
            return true;
        }
        if (p->used < slot->used)
            slot = p;
    }
    struct slice fetched;
    arena_reset(&slot->arena);
    slot->raw = (struct slice){NULL, 0};
    if (!segment_fetch(w->segment, page, &slot->arena, &fetched, err))
        return false;
    slot->raw = *raw = fetched;
    slot->page = page;
    slot->used = ++w->clock;
    return true;
}

bool page_window_get(struct page_window *window, const struct segment_chunk *chunk,
    struct slice raw[CHUNK_PAGES_MAX], struct err *err)
{
    uint32_t pages[CHUNK_PAGES_MAX];
    size_t n = segment_chunk_pages(chunk, pages);
    for (size_t i = 0; i < n; i++)
        if (!get_page(window, pages[i], &raw[i], err))
            return false;
    return true;
}

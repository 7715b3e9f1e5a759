#include "store/segment/section.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"

void section_fini(struct section_buf *section)
{
    buf_fini(&section->bytes);
    buf_fini(&section->digest);
    free(section->pages);
}

void section_add(struct section_buf *section, struct page_ref what, struct slice raw)
{
    what.offset = section->bytes.len;
    page_put(&section->bytes, what.type, raw);
    what.bytes = (uint32_t)(section->bytes.len - what.offset);
    what.raw_bytes = (uint32_t)raw.len;
    what.stored = what.type;
    digest_page(&section->digest, what.type, raw);
    GROW(section->pages, section->pages_cap, section->n_pages + 1);
    section->pages[section->n_pages++] = what;
}

void section_append(struct section_buf *section, const struct section_buf *other)
{
    GROW(section->pages, section->pages_cap, section->n_pages + other->n_pages);
    for (size_t i = 0; i < other->n_pages; i++) {
        struct page_ref page = other->pages[i];
        page.offset += section->bytes.len;
        section->pages[section->n_pages++] = page;
    }
    buf_slice(&section->bytes, buf_view(&other->bytes));
    buf_slice(&section->digest, buf_view(&other->digest));
}

void digest_page(struct buf *digest, uint8_t type, struct slice raw)
{
    if (type == PAGE_PAGES || type == PAGE_INDEX)
        return;
    struct hash128 hash = hash128(raw.ptr, raw.len);
    buf_u8(digest, type);
    buf_le64(digest, hash.lo);
    buf_le64(digest, hash.hi);
}

struct hash128 digest_id(int64_t t0, int64_t t1, int64_t resolution_ms, const struct buf *digest)
{
    struct buf all;
    buf_init(&all, 0);
    buf_le64(&all, (uint64_t)t0);
    buf_le64(&all, (uint64_t)t1);
    buf_le64(&all, (uint64_t)resolution_ms);
    buf_slice(&all, buf_view(digest));
    struct hash128 id = hash128(all.ptr, all.len);
    buf_fini(&all);
    return id;
}

void walk_init(struct section_walk *walk, struct slice bytes, const char *file, const char *part,
    uint64_t offset)
{
    *walk = (struct section_walk){.left = bytes, .place = {file, part, offset}};
}

void walk_fini(struct section_walk *walk)
{
    buf_fini(&walk->scratch);
}

bool walk_at_end(const struct section_walk *walk)
{
    return walk->left.len == 0;
}

bool walk_next(struct section_walk *walk, uint8_t *type, struct slice *raw, struct place *place,
    struct err *err)
{
    struct page page;
    ensure(!walk_at_end(walk));
    if (!page_get(walk->left, &walk->place, &page, err) ||
        !page_raw(&page, &walk->scratch, raw, err))
        return false;
    *type = page.type;
    *place = page.place;
    size_t bytes = page_bytes(&page);
    walk->left.ptr += bytes;
    walk->left.len -= bytes;
    walk->place.offset += bytes;
    return true;
}

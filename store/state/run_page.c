#include "store/state/run_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"

#define FLAG_DELETED    1
#define PAGE_BYTES_MIN  4096
#define PAGE_ENTRIES    8 /* that a page has room for, at least */
#define OFFSET_NUMBER   4
#define OFFSET_N        8
#define OFFSET_WIDTH    10
#define OFFSET_FLAGS    11
#define OFFSET_FIRST_HI 16

static size_t deltas_bytes(uint32_t n, unsigned width)
{
    return n ? ((size_t)(n - 1) * width + 7) / 8 : 0;
}

static size_t bytes_of(uint32_t n, unsigned width, bool deleted, uint32_t record_bytes)
{
    return RUN_PAGE_HEADER + deltas_bytes(n, width) + (size_t)n * (8 + record_bytes) +
           (deleted ? (n + 7) / 8 : 0);
}

uint32_t run_page_bytes(uint32_t record_bytes)
{
    uint32_t bytes = PAGE_BYTES_MIN;
    while (bytes_of(PAGE_ENTRIES, 64, true, record_bytes) > bytes)
        bytes *= 2;
    ensure(bytes <= RUN_PAGE_BYTES_MAX);
    return bytes;
}

/* ---- writing ---- */

void run_page_builder_init(struct run_page_builder *builder, uint32_t record_bytes)
{
    *builder = (struct run_page_builder){
        .page_bytes = run_page_bytes(record_bytes), .record_bytes = record_bytes};
    builder->records = xmalloc(builder->page_bytes);
}

void run_page_builder_fini(struct run_page_builder *builder)
{
    free(builder->records);
    builder->records = NULL;
}

static unsigned width_of(uint64_t v)
{
    return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

bool run_page_add(
    struct run_page_builder *builder, struct hash128 key, bool deleted, const uint8_t *record)
{
    uint32_t n = builder->n;
    uint64_t widest = builder->widest;
    if (n == RUN_PAGE_ENTRIES_MAX)
        return false;
    if (n && key.hi - builder->keys[n - 1].hi > widest)
        widest = key.hi - builder->keys[n - 1].hi;
    if (bytes_of(n + 1, width_of(widest), builder->any_deleted || deleted, builder->record_bytes) >
        builder->page_bytes)
        return false;
    builder->keys[n] = key;
    builder->deleted[n] = deleted;
    builder->any_deleted = builder->any_deleted || deleted;
    builder->widest = widest;
    uint8_t *to = builder->records + (size_t)n * builder->record_bytes;
    if (deleted)
        memset(to, 0, builder->record_bytes);
    else if (builder->record_bytes)
        memcpy(to, record, builder->record_bytes);
    builder->n++;
    return true;
}

/* Into zeroed bytes; those behind the value may be touched, with nothing. */
static void put_bits(uint8_t *bytes, size_t bit, unsigned width, uint64_t v)
{
    for (unsigned done = 0; done < width;) {
        unsigned shift = bit % 8, take = 8 - shift;
        bytes[bit / 8] |= (uint8_t)(v >> done << shift);
        if (take > width - done)
            take = width - done;
        done += take;
        bit += take;
    }
}

uint32_t run_page_finish(struct run_page_builder *builder, uint32_t number, uint8_t *out)
{
    uint32_t n = builder->n;
    unsigned width = width_of(builder->widest);
    ensure(n > 0);
    memset(out, 0, builder->page_bytes);
    le32_put(out + OFFSET_NUMBER, number);
    le16_put(out + OFFSET_N, (uint16_t)n);
    out[OFFSET_WIDTH] = (uint8_t)width;
    out[OFFSET_FLAGS] = builder->any_deleted ? FLAG_DELETED : 0;
    le64_put(out + OFFSET_FIRST_HI, builder->keys[0].hi);
    uint8_t *at = out + RUN_PAGE_HEADER;
    for (uint32_t i = 1; i < n; i++)
        put_bits(at, (size_t)(i - 1) * width, width, builder->keys[i].hi - builder->keys[i - 1].hi);
    at += deltas_bytes(n, width);
    for (uint32_t i = 0; i < n; i++, at += 8)
        le64_put(at, builder->keys[i].lo);
    if (builder->any_deleted) {
        for (uint32_t i = 0; i < n; i++)
            at[i / 8] |= (uint8_t)(builder->deleted[i] << i % 8);
        at += (n + 7) / 8;
    }
    memcpy(at, builder->records, (size_t)n * builder->record_bytes);
    uint32_t crc = crc32c(0, out + OFFSET_NUMBER, builder->page_bytes - OFFSET_NUMBER);
    le32_put(out, crc);
    builder->n = 0;
    builder->widest = 0;
    builder->any_deleted = false;
    return crc;
}

/* ---- reading ---- */

void run_page_view(const uint8_t *bytes, uint32_t record_bytes, struct run_page *out)
{
    out->n = le16_get(bytes + OFFSET_N);
    out->record_bytes = record_bytes;
    out->width = bytes[OFFSET_WIDTH];
    out->first_hi = le64_get(bytes + OFFSET_FIRST_HI);
    out->deltas = bytes + RUN_PAGE_HEADER;
    out->lo = out->deltas + deltas_bytes(out->n, out->width);
    const uint8_t *at = out->lo + (size_t)out->n * 8;
    out->deleted = bytes[OFFSET_FLAGS] & FLAG_DELETED ? at : NULL;
    out->records = at + (out->deleted ? (out->n + 7) / 8 : 0);
}

bool run_page_check(const uint8_t *bytes, uint32_t page_bytes, uint32_t record_bytes,
    uint32_t number, struct run_page *out, struct err *err)
{
    uint32_t n = le16_get(bytes + OFFSET_N);
    unsigned width = bytes[OFFSET_WIDTH], flags = bytes[OFFSET_FLAGS];
    if (crc32c(0, bytes + OFFSET_NUMBER, page_bytes - OFFSET_NUMBER) != le32_get(bytes))
        return err_set(err, ERR_CORRUPT, "checksum does not match");
    if (le32_get(bytes + OFFSET_NUMBER) != number)
        return err_set(err, ERR_CORRUPT, "it is page %" PRIu32, le32_get(bytes + OFFSET_NUMBER));
    if (n == 0 || n > RUN_PAGE_ENTRIES_MAX || width > 64 || flags > FLAG_DELETED ||
        bytes_of(n, width, flags & FLAG_DELETED, record_bytes) > page_bytes)
        return err_set(err, ERR_CORRUPT, "%" PRIu32 " keys of width %u do not fit", n, width);
    run_page_view(bytes, record_bytes, out);
    return true;
}

/* Reads up to 9 bytes: at least 16 bytes of lo's stand behind the last difference. */
static uint64_t delta(const struct run_page *page, uint32_t i)
{
    size_t bit = (size_t)i * page->width;
    const uint8_t *p = page->deltas + bit / 8;
    unsigned shift = bit % 8;
    if (page->width == 0)
        return 0;
    uint64_t v = le64_get(p) >> shift;
    if (shift + page->width > 64)
        v |= (uint64_t)p[8] << (64 - shift);
    return page->width == 64 ? v : v & ((UINT64_C(1) << page->width) - 1);
}

uint64_t run_page_lo(const struct run_page *page, uint32_t i)
{
    return le64_get(page->lo + (size_t)i * 8);
}

bool run_page_deleted(const struct run_page *page, uint32_t i)
{
    return page->deleted && (page->deleted[i / 8] >> i % 8 & 1);
}

uint32_t run_page_find(const struct run_page *page, struct hash128 key)
{
    uint64_t hi = page->first_hi;
    for (uint32_t i = 0; i < page->n; i++) {
        if (i)
            hi += delta(page, i - 1);
        if (hi == key.hi && run_page_lo(page, i) == key.lo)
            return i;
        if (hi > key.hi)
            break;
    }
    return page->n;
}

void run_page_unpack(const struct run_page *page, uint64_t hi[RUN_PAGE_ENTRIES_MAX])
{
    hi[0] = page->first_hi;
    for (uint32_t i = 1; i < page->n; i++)
        hi[i] = hi[i - 1] + delta(page, i - 1);
}

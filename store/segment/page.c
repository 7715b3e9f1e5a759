#include "store/segment/page.h"

#include <inttypes.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"

#define FLAG_LZ4 1u

void place_error(
    const struct place *place, struct err *err, enum err_code code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(err, code, "segment %s at byte %" PRIu64 ": %s", place->part, place->offset, text);
    err_at(err, place->file, 0, 0);
}

/* Compresses raw to `to`; 0 when it would not save enough. LZ4 stops by itself at the bound, so
 * what does not compress costs little. */
static size_t compress(struct slice raw, char *to, size_t bound)
{
    if (bound == 0)
        return 0;
    int n = LZ4_compress_default(raw.ptr, to, (int)raw.len, (int)bound);
    return n > 0 ? (size_t)n : 0;
}

void page_put(struct buf *out, uint8_t type, struct slice raw)
{
    ensure(raw.len > 0 && raw.len <= PAGE_RAW_MAX);
    char *p = buf_reserve(out, PAGE_HEADER_BYTES + raw.len);
    if (!p)
        return;
    size_t stored = compress(raw, p + PAGE_HEADER_BYTES, raw.len * PAGE_LZ4_KEEP / 100);
    p[4] = (char)type;
    p[5] = stored ? FLAG_LZ4 : 0;
    if (!stored) {
        memcpy(p + PAGE_HEADER_BYTES, raw.ptr, raw.len);
        stored = raw.len;
    }
    le16_put(p + 6, 0);
    le32_put(p + 8, (uint32_t)raw.len);
    le32_put(p + 12, (uint32_t)stored);
    le32_put(p, crc32c(0, p + 4, PAGE_HEADER_BYTES - 4 + stored));
    out->len += PAGE_HEADER_BYTES + stored;
}

bool page_get(struct slice bytes, const struct place *place, struct page *out, struct err *err)
{
    if (bytes.len < PAGE_HEADER_BYTES)
        return place_corrupt(place, err, "%zu bytes are no page", bytes.len);
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    uint32_t raw = le32_get(p + 8), stored = le32_get(p + 12);
    if (raw == 0 || raw > PAGE_RAW_MAX || stored == 0 || stored > raw)
        return place_corrupt(
            place, err, "sizes %" PRIu32 " stored, %" PRIu32 " raw are out of bounds", stored, raw);
    if (stored > bytes.len - PAGE_HEADER_BYTES)
        return place_corrupt(place, err, "%" PRIu32 " bytes pass the end", stored);
    if (crc32c(0, p + 4, PAGE_HEADER_BYTES - 4 + stored) != le32_get(p))
        return place_corrupt(place, err, "checksum does not match");
    if ((p[5] & ~FLAG_LZ4) || le16_get(p + 6))
        return place_unsupported(place, err, "not supported yet: page flags 0x%02x", p[5]);
    *out = (struct page){.type = p[4],
        .lz4 = p[5] & FLAG_LZ4,
        .raw_bytes = raw,
        .stored = slice_of(p + PAGE_HEADER_BYTES, stored),
        .place = *place};
    if (!out->lz4 && stored != raw)
        return place_corrupt(place, err, "sizes %" PRIu32 " and %" PRIu32 " differ", stored, raw);
    return true;
}

size_t page_bytes(const struct page *page)
{
    return PAGE_HEADER_BYTES + page->stored.len;
}

/* Raw bytes to `to`, which has room for page->raw_bytes. */
static bool page_inflate(const struct page *page, void *to, struct err *err)
{
    if (!page->lz4) {
        memcpy(to, page->stored.ptr, page->raw_bytes);
        return true;
    }
    int n = LZ4_decompress_safe(page->stored.ptr, to, (int)page->stored.len, (int)page->raw_bytes);
    if (n < 0 || (uint32_t)n != page->raw_bytes)
        return place_corrupt(
            &page->place, err, "LZ4 does not give %" PRIu32 " bytes", page->raw_bytes);
    return true;
}

bool page_raw(const struct page *page, struct buf *scratch, struct slice *out, struct err *err)
{
    if (!page->lz4) {
        *out = page->stored;
        return true;
    }
    buf_clear(scratch);
    char *to = buf_reserve(scratch, page->raw_bytes);
    ensure(to);
    if (!page_inflate(page, to, err))
        return false;
    scratch->len = page->raw_bytes;
    *out = buf_view(scratch);
    return true;
}

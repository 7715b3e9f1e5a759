#include "store/segment/layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"

static const char header_magic[8] = "LARDSEG\n";
static const char footer_magic[8] = "\nGESDRAL";

const char *section_name(uint16_t id)
{
    switch (id) {
    case SECTION_DATA: return "data";
    case SECTION_CHUNKDIR: return "chunkdir";
    case SECTION_SERIES: return "series";
    case SECTION_DICT: return "dict";
    case SECTION_POSTINGS: return "postings";
    case SECTION_PROVENANCE: return "provenance";
    case SECTION_IDS: return "ids";
    case SECTION_INDEX: return "index";
    default: return "unknown";
    }
}

/* magic 8 | major u16 | minor u16 | flags u32 | id 16 | t0 i64 | t1 i64 | resolution_ms i64 |
 * zero u32 | crc32c u32 */
void header_put(uint8_t out[HEADER_BYTES], const struct header *header)
{
    memset(out, 0, HEADER_BYTES);
    memcpy(out, header_magic, sizeof header_magic);
    le16_put(out + 8, header->major);
    le16_put(out + 10, header->minor);
    le64_put(out + 16, header->id.lo);
    le64_put(out + 24, header->id.hi);
    le64_put(out + 32, (uint64_t)header->t0);
    le64_put(out + 40, (uint64_t)header->t1);
    le64_put(out + 48, (uint64_t)header->resolution_ms);
    le32_put(out + 60, crc32c(0, out, 60));
}

bool header_get(
    const uint8_t in[HEADER_BYTES], const char *file, struct header *out, struct err *err)
{
    struct place place = {file, "header", 0};
    if (memcmp(in, header_magic, sizeof header_magic) != 0)
        return place_corrupt(&place, err, "this is no segment");
    if (crc32c(0, in, 60) != le32_get(in + 60))
        return place_corrupt(&place, err, "checksum does not match");
    *out = (struct header){.major = le16_get(in + 8),
        .minor = le16_get(in + 10),
        .id = {le64_get(in + 16), le64_get(in + 24)},
        .t0 = (int64_t)le64_get(in + 32),
        .t1 = (int64_t)le64_get(in + 40),
        .resolution_ms = (int64_t)le64_get(in + 48)};
    if (out->major < SEGMENT_MAJOR_MIN || out->major > SEGMENT_MAJOR)
        return place_unsupported(&place, err,
            "not supported yet: version %d.%d (this program reads %d.x to %d.x)", out->major,
            out->minor, SEGMENT_MAJOR_MIN, SEGMENT_MAJOR);
    if (le32_get(in + 12))
        return place_unsupported(
            &place, err, "not supported yet: header flags 0x%" PRIx32, le32_get(in + 12));
    if (out->t0 >= out->t1 || out->resolution_ms < 0)
        return place_corrupt(
            &place, err, "a time block (%" PRId64 ", %" PRId64 "]", out->t0, out->t1);
    return true;
}

/* id 16 | series u64 | chunks u64 | cells u64 | min_t i64 | max_t i64 | n_sections u32 | zero u32 |
 * entry* | footer_bytes u32 | crc32c u32 | magic 8
 * entry := id u16 | version u16 | crc32c u32 | offset u64 | bytes u64 | rows u64 */
void footer_put(struct buf *out, const struct footer *footer)
{
    size_t start = out->len;
    ensure(footer->n_sections <= SECTIONS_MAX);
    buf_le64(out, footer->id.lo);
    buf_le64(out, footer->id.hi);
    buf_le64(out, footer->series);
    buf_le64(out, footer->chunks);
    buf_le64(out, footer->cells);
    buf_le64(out, (uint64_t)footer->min_t);
    buf_le64(out, (uint64_t)footer->max_t);
    buf_le32(out, (uint32_t)footer->n_sections);
    buf_le32(out, 0);
    for (size_t i = 0; i < footer->n_sections; i++) {
        const struct section *s = &footer->sections[i];
        buf_le16(out, s->id);
        buf_le16(out, s->version);
        buf_le32(out, s->crc);
        buf_le64(out, s->offset);
        buf_le64(out, s->bytes);
        buf_le64(out, s->rows);
    }
    buf_le32(out, (uint32_t)(out->len - start + FOOTER_TAIL_BYTES));
    buf_le32(out, crc32c(0, out->ptr + start, out->len - start));
    buf_add(out, footer_magic, sizeof footer_magic);
}

bool footer_length(const uint8_t tail[FOOTER_TAIL_BYTES], const char *file, uint64_t file_bytes,
    uint32_t *out, struct err *err)
{
    struct place place = {file, "footer", file_bytes - FOOTER_TAIL_BYTES};
    if (memcmp(tail + 8, footer_magic, sizeof footer_magic) != 0)
        return place_corrupt(&place, err, "the end of the file is not there");
    *out = le32_get(tail);
    if (*out < FOOTER_FIXED + FOOTER_TAIL_BYTES || *out > FOOTER_BYTES_MAX ||
        *out > file_bytes - HEADER_BYTES)
        return place_corrupt(&place, err, "a footer of %" PRIu32 " bytes", *out);
    return true;
}

/* Sections come in the table's order, from the header to the footer, without gaps, no id twice. */
static bool check_sections(const struct footer *footer, uint16_t major, uint64_t end,
    const struct place *place, struct err *err)
{
    unsigned known = major == 1 ? SECTION_IDS : SECTION_END;
    uint64_t at = HEADER_BYTES;
    for (size_t i = 0; i < footer->n_sections; i++) {
        const struct section *s = &footer->sections[i];
        if (s->offset != at || s->bytes > end - at)
            return place_corrupt(place, err, "section %s lies at %" PRIu64 ", %" PRIu64 " bytes",
                section_name(s->id), s->offset, s->bytes);
        at += s->bytes;
        if (footer_section(footer, s->id) != s)
            return place_corrupt(place, err, "section %s occurs twice", section_name(s->id));
        if (s->id < SECTION_END && s->version != SECTION_VERSION)
            return place_unsupported(place, err, "not supported yet: section %s version %d",
                section_name(s->id), s->version);
    }
    if (at != end)
        return place_corrupt(place, err, "sections end at %" PRIu64, at);
    for (unsigned id = 1; id < known; id++)
        if (!footer_section(footer, (uint16_t)id))
            return place_corrupt(place, err, "section %s is missing", section_name((uint16_t)id));
    return true;
}

bool footer_get(struct slice bytes, const char *file, uint16_t major, uint64_t file_bytes,
    struct footer *out, struct err *err)
{
    struct place place = {file, "footer", file_bytes - bytes.len};
    size_t crc_at = bytes.len - FOOTER_TAIL_BYTES + 4;
    if (crc32c(0, bytes.ptr, crc_at) != le32_get(bytes.ptr + crc_at))
        return place_corrupt(&place, err, "checksum does not match");
    struct reader r = reader_of(bytes);
    *out = (struct footer){0};
    out->id.lo = read_le64(&r);
    out->id.hi = read_le64(&r);
    out->series = read_le64(&r);
    out->chunks = read_le64(&r);
    out->cells = read_le64(&r);
    out->min_t = (int64_t)read_le64(&r);
    out->max_t = (int64_t)read_le64(&r);
    uint32_t n = read_le32(&r);
    read_le32(&r);
    if (r.failed || n > SECTIONS_MAX ||
        reader_left(&r) != (size_t)n * FOOTER_ENTRY + FOOTER_TAIL_BYTES)
        return place_corrupt(&place, err, "a table of %" PRIu32 " sections", n);
    for (out->n_sections = 0; out->n_sections < n; out->n_sections++) {
        struct section *s = &out->sections[out->n_sections];
        s->id = read_le16(&r);
        s->version = read_le16(&r);
        s->crc = read_le32(&r);
        s->offset = read_le64(&r);
        s->bytes = read_le64(&r);
        s->rows = read_le64(&r);
    }
    if (out->series == 0 || out->series > SEGMENT_SERIES_MAX || out->chunks < out->series ||
        out->chunks > SEGMENT_CHUNKS_MAX || out->cells < out->chunks)
        return place_corrupt(&place, err,
            "%" PRIu64 " series, %" PRIu64 " chunks, %" PRIu64 " cells", out->series, out->chunks,
            out->cells);
    return check_sections(out, major, file_bytes - bytes.len, &place, err);
}

const struct section *footer_section(const struct footer *footer, uint16_t id)
{
    for (size_t i = 0; i < footer->n_sections; i++)
        if (footer->sections[i].id == id)
            return &footer->sections[i];
    return NULL;
}

void layout_info(struct segment_info *out, const struct header *header, const struct footer *footer,
    uint64_t file_bytes)
{
    *out = (struct segment_info){.t0 = header->t0,
        .t1 = header->t1,
        .min_t = footer->min_t,
        .max_t = footer->max_t,
        .resolution_ms = header->resolution_ms,
        .bytes = file_bytes,
        .series = footer->series,
        .chunks = footer->chunks,
        .cells = footer->cells};
    snprintf(out->name, sizeof out->name,
        "%" PRId64 "-%" PRId64 ".%016" PRIx64 "%016" PRIx64 ".seg", header->t0, header->t1,
        header->id.hi, header->id.lo);
}

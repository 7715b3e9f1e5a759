#include "store/state/run_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "store/state/memtable.h"
#include "store/state/run_filter.h"
#include "store/state/run_page.h"

enum offset {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_RECORD = 8,
    AT_LEVEL = 12,
    AT_GENERATION = 16,
    AT_LSN = 24,
    AT_ENTRIES = 32,
    AT_DELETED = 40,
    AT_PAGES = 48,
    AT_PAGE_BYTES = 52,
    AT_LINES = 56,
    AT_MIN = 64,
    AT_MAX = 80,
    AT_FENCES_CRC = 96,
    AT_FILTER_CRC = 100,
    AT_TABLE = 104, /* length u16, then up to 64 bytes */
    AT_ID = 176,
    AT_CRC = RUN_HEADER_BYTES - 4,
};

static void put_key(uint8_t *at, struct hash128 key)
{
    le64_put(at, key.hi);
    le64_put(at + 8, key.lo);
}

static struct hash128 get_key(const uint8_t *at)
{
    return (struct hash128){.hi = le64_get(at), .lo = le64_get(at + 8)};
}

void run_name(struct hash128 id, char out[RUN_NAME_MAX])
{
    snprintf(out, RUN_NAME_MAX, "%016" PRIx64 "%016" PRIx64 ".run", id.hi, id.lo);
}

uint64_t run_fences_at(const struct run_info *info)
{
    return RUN_HEADER_BYTES + (uint64_t)info->pages * info->page_bytes;
}

uint64_t run_filter_at(const struct run_info *info)
{
    return run_fences_at(info) + (uint64_t)info->pages * RUN_FENCE_BYTES;
}

void run_header_put(uint8_t out[RUN_HEADER_BYTES], const struct run_header *header)
{
    const struct run_info *i = &header->info;
    size_t len = strlen(i->table);
    memset(out, 0, RUN_HEADER_BYTES);
    memcpy(out + AT_MAGIC, RUN_MAGIC, 4);
    le16_put(out + AT_VERSION, RUN_VERSION);
    le32_put(out + AT_RECORD, i->record_bytes);
    le32_put(out + AT_LEVEL, i->level);
    le64_put(out + AT_GENERATION, (uint64_t)i->generation);
    le64_put(out + AT_LSN, i->lsn);
    le64_put(out + AT_ENTRIES, i->entries);
    le64_put(out + AT_DELETED, i->deleted);
    le32_put(out + AT_PAGES, i->pages);
    le32_put(out + AT_PAGE_BYTES, i->page_bytes);
    le64_put(out + AT_LINES, header->filter_lines);
    put_key(out + AT_MIN, i->min);
    put_key(out + AT_MAX, i->max);
    le32_put(out + AT_FENCES_CRC, header->fences_crc);
    le32_put(out + AT_FILTER_CRC, header->filter_crc);
    le16_put(out + AT_TABLE, (uint16_t)len);
    memcpy(out + AT_TABLE + 2, i->table, len);
    put_key(out + AT_ID, header->id);
    le32_put(out + AT_CRC, crc32c(0, out, AT_CRC));
}

/* Sizes are checked so that nothing below overflows; the file's size must agree with them, which
 * bounds what is allocated. */
static bool sizes_valid(const struct run_header *h)
{
    const struct run_info *i = &h->info;
    return i->record_bytes <= STATE_RECORD_BYTES_MAX &&
           i->page_bytes == run_page_bytes(i->record_bytes) && i->pages > 0 &&
           i->entries >= i->pages && i->entries <= (uint64_t)i->pages * RUN_PAGE_ENTRIES_MAX &&
           i->deleted <= i->entries && h->filter_lines > 0 &&
           h->filter_lines <= UINT64_C(1) << 40 && state_key_cmp(i->min, i->max) <= 0 && i->lsn > 0;
}

bool run_header_get(
    const uint8_t in[RUN_HEADER_BYTES], const char *file, struct run_header *out, struct err *err)
{
    *out = (struct run_header){0};
    if (memcmp(in + AT_MAGIC, RUN_MAGIC, 4) != 0)
        return err_set(err, ERR_CORRUPT, "%s: no run of a state table begins at byte 0", file);
    if (crc32c(0, in, AT_CRC) != le32_get(in + AT_CRC))
        return err_set(err, ERR_CORRUPT, "%s: header at byte 0: checksum does not match", file);
    if (le16_get(in + AT_VERSION) != RUN_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
            "%s: version %u of state runs, at byte 4, is not supported yet", file,
            le16_get(in + AT_VERSION));
    struct run_info *i = &out->info;
    i->record_bytes = le32_get(in + AT_RECORD);
    i->level = le32_get(in + AT_LEVEL);
    i->generation = (int64_t)le64_get(in + AT_GENERATION);
    i->lsn = le64_get(in + AT_LSN);
    i->entries = le64_get(in + AT_ENTRIES);
    i->deleted = le64_get(in + AT_DELETED);
    i->pages = le32_get(in + AT_PAGES);
    i->page_bytes = le32_get(in + AT_PAGE_BYTES);
    out->filter_lines = le64_get(in + AT_LINES);
    i->min = get_key(in + AT_MIN);
    i->max = get_key(in + AT_MAX);
    out->fences_crc = le32_get(in + AT_FENCES_CRC);
    out->filter_crc = le32_get(in + AT_FILTER_CRC);
    out->id = get_key(in + AT_ID);
    size_t len = le16_get(in + AT_TABLE);
    if (len == 0 || len > STATE_TABLE_NAME_MAX || memchr(in + AT_TABLE + 2, 0, len) ||
        !sizes_valid(out))
        return err_set(err, ERR_CORRUPT, "%s: header at byte 0: sizes are out of bounds", file);
    memcpy(i->table, in + AT_TABLE + 2, len);
    run_name(out->id, i->name);
    i->bytes = run_filter_at(i) + out->filter_lines * FILTER_LINE_BYTES;
    return true;
}

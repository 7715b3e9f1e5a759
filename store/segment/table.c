#include "store/segment/table.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"

void table_init(struct table *table, size_t n_columns)
{
    ensure(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
    *table = (struct table){.n_columns = n_columns};
}

void table_fini(struct table *table)
{
    for (size_t c = 0; c < table->n_columns; c++)
        free(table->values[c]);
    *table = (struct table){0};
}

static void reserve(struct table *table, size_t n_rows)
{
    if (n_rows <= table->cap)
        return;
    size_t cap = n_rows < 2 * table->cap ? 2 * table->cap : n_rows;
    for (size_t c = 0; c < table->n_columns; c++)
        table->values[c] = xreallocarray(table->values[c], cap, sizeof **table->values);
    table->cap = cap;
}

void table_add(struct table *table, const int64_t *row)
{
    reserve(table, table->n_rows + 1);
    for (size_t c = 0; c < table->n_columns; c++)
        table->values[c][table->n_rows] = row[c];
    table->n_rows++;
}

static bool all_zero(const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] != 0)
            return false;
    return true;
}

/* Whether these may be bits of doubles: 1.0 and the like are large as integers. */
static bool may_be_doubles(const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] >> 52 != 0 && values[i] >> 52 != -1)
            return true;
    return false;
}

static void encode(struct buf *out, size_t column, uint8_t codec, const int64_t *values, size_t n)
{
    buf_le16(out, (uint16_t)(column + 1));
    buf_u8(out, codec);
    buf_u8(out, 0);
    size_t length_at = out->len;
    buf_le32(out, 0);
    codec_encode(codec, values, n, out);
    le32_put(out->ptr + length_at, (uint32_t)(out->len - length_at - 4));
}

/* A table does not know what its columns mean; where doubles are possible, the smaller one wins. */
static void put_column(struct buf *out, size_t column, const int64_t *values, size_t n)
{
    struct buf other;
    size_t start = out->len;
    encode(out, column, codec_choose(values, n), values, n);
    if (!may_be_doubles(values, n))
        return;
    buf_init(&other, 0);
    encode(&other, column, codec_choose_doubles(values, n), values, n);
    if (other.len < out->len - start) {
        out->len = start;
        buf_slice(out, buf_view(&other));
    }
    buf_fini(&other);
}

void table_put(struct table *table, struct buf *out)
{
    uint16_t n_columns = 0;
    buf_le32(out, (uint32_t)table->n_rows);
    size_t count_at = out->len;
    buf_le32(out, 0);
    for (size_t c = 0; c < table->n_columns; c++) {
        if (all_zero(table->values[c], table->n_rows))
            continue;
        put_column(out, c, table->values[c], table->n_rows);
        n_columns++;
    }
    le16_put(out->ptr + count_at, n_columns);
    table->n_rows = 0;
}

static bool get_column(struct table *table, size_t c, uint8_t codec, struct slice bytes,
    const struct place *place, struct err *err)
{
    if (!codec_known(codec))
        return place_unsupported(place, err, "not supported yet: codec %d", codec);
    struct reader r = reader_of(bytes);
    if (!codec_decode(codec, &r, table->n_rows, table->values[c]) || reader_left(&r) > 0)
        return place_corrupt(place, err, "column %zu does not decode", c + 1);
    return true;
}

static bool fill_missing(
    struct table *table, uint64_t seen, bool all, const struct place *place, struct err *err)
{
    for (size_t c = 0; c < table->n_columns; c++) {
        if (seen & UINT64_C(1) << (c + 1))
            continue;
        if (all)
            return place_corrupt(place, err, "column %zu is missing", c + 1);
        for (size_t i = 0; i < table->n_rows; i++)
            table->values[c][i] = 0;
    }
    return true;
}

bool table_get(struct table *table, struct slice raw, size_t max_rows, bool all,
    const struct place *place, struct err *err)
{
    struct reader r = reader_of(raw);
    uint64_t seen = 0;
    size_t n_rows = read_le32(&r), n_columns = read_le16(&r);
    read_le16(&r);
    if (r.failed || n_rows == 0 || n_rows > max_rows)
        return place_corrupt(place, err, "a group of %zu rows", n_rows);
    reserve(table, n_rows);
    table->n_rows = n_rows;
    for (size_t i = 0; i < n_columns; i++) {
        size_t id = read_le16(&r);
        uint8_t codec = read_u8(&r);
        read_u8(&r);
        struct slice bytes = read_bytes(&r, read_le32(&r));
        if (r.failed)
            return place_corrupt(place, err, "column %zu passes the end", id);
        if (id == 0 || id > table->n_columns)
            continue;
        if (seen & UINT64_C(1) << id)
            return place_corrupt(place, err, "column %zu occurs twice", id);
        seen |= UINT64_C(1) << id;
        if (!get_column(table, id - 1, codec, bytes, place, err))
            return false;
    }
    if (!fill_missing(table, seen, all, place, err))
        return false;
    return reader_left(&r) == 0 || place_corrupt(place, err, "bytes behind the last column");
}

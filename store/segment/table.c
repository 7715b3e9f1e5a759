#include "store/segment/table.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"

#define COLUMNS_MAX 64

void table_init(struct table *table, size_t n_columns, size_t max_rows)
{
    ensure(n_columns > 0 && n_columns < COLUMNS_MAX && max_rows > 0);
    *table = (struct table){.n_columns = n_columns, .max_rows = max_rows};
    table->values = xreallocarray(NULL, n_columns * max_rows, sizeof *table->values);
}

void table_fini(struct table *table)
{
    free(table->values);
    *table = (struct table){0};
}

void table_add(struct table *table, const int64_t *row)
{
    ensure(!table_is_full(table));
    for (size_t c = 0; c < table->n_columns; c++)
        table->values[c * table->max_rows + table->n_rows] = row[c];
    table->n_rows++;
}

bool table_is_full(const struct table *table)
{
    return table->n_rows == table->max_rows;
}

void table_put(struct table *table, struct buf *out)
{
    buf_le32(out, (uint32_t)table->n_rows);
    buf_le16(out, (uint16_t)table->n_columns);
    buf_le16(out, 0);
    for (size_t c = 0; c < table->n_columns; c++) {
        const int64_t *values = table->values + c * table->max_rows;
        uint8_t codec = codec_choose(values, table->n_rows);
        buf_le16(out, (uint16_t)(c + 1));
        buf_u8(out, codec);
        buf_u8(out, 0);
        size_t length_at = out->len;
        buf_le32(out, 0);
        codec_encode(codec, values, table->n_rows, out);
        le32_put(out->ptr + length_at, (uint32_t)(out->len - length_at - 4));
    }
    table->n_rows = 0;
}

static bool get_column(struct table *table, size_t c, uint8_t codec, struct slice bytes,
    const struct place *place, struct err *err)
{
    if (!codec_known(codec))
        return place_unsupported(place, err, "not supported yet: codec %d", codec);
    struct reader r = reader_of(bytes);
    if (!codec_decode(codec, &r, table->n_rows, table->values + c * table->max_rows) ||
        reader_left(&r) > 0)
        return place_corrupt(place, err, "column %zu does not decode", c + 1);
    return true;
}

bool table_get(struct table *table, struct slice raw, const struct place *place, struct err *err)
{
    struct reader r = reader_of(raw);
    uint64_t seen = 0;
    size_t n_rows = read_le32(&r), n_columns = read_le16(&r);
    read_le16(&r);
    if (r.failed || n_rows == 0 || n_rows > table->max_rows)
        return place_corrupt(place, err, "a group of %zu rows", n_rows);
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
    if (seen != (UINT64_C(1) << (table->n_columns + 1)) - 2)
        return place_corrupt(place, err, "a column is missing");
    if (reader_left(&r) > 0)
        return place_corrupt(place, err, "bytes behind the last column");
    return true;
}

#include "store/segment/ids.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/segment.h"
#include "store/segment/table.h"

struct pair {
    uint32_t id, ordinal;
};

static int by_id(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void put_group(
    struct section_buf *section, const struct pair *pairs, uint32_t first, uint32_t n)
{
    struct table rows;
    struct buf raw;
    table_init(&rows, IDS_COLUMNS);
    buf_init(&raw, 0);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t row[IDS_COLUMNS] = {pairs[i].id, pairs[i].ordinal};
        table_add(&rows, row);
    }
    table_put(&rows, &raw);
    section_add(section,
        (struct page_ref){.type = PAGE_IDS, .key = pairs[0].id, .first = first, .rows = n},
        buf_view(&raw));
    buf_fini(&raw);
    table_fini(&rows);
}

bool ids_put(struct section_buf *section, const uint32_t *ids, uint32_t n, struct err *err)
{
    struct pair *pairs = xreallocarray(NULL, (size_t)n + 1, sizeof *pairs);
    uint32_t n_pairs = 0;
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] != SEGMENT_NO_ID)
            pairs[n_pairs++] = (struct pair){ids[i], i};
    qsort(pairs, n_pairs, sizeof *pairs, by_id);
    for (uint32_t i = 1; ok && i < n_pairs; i++)
        if (pairs[i].id == pairs[i - 1].id)
            ok = err_set(err, ERR_INVALID, "two series with the id %" PRIu32, pairs[i].id);
    for (uint32_t i = 0; ok && i < n_pairs; i += IDS_GROUP)
        put_group(section, pairs + i, i, n_pairs - i < IDS_GROUP ? n_pairs - i : IDS_GROUP);
    section->rows = n_pairs;
    free(pairs);
    return ok;
}

static bool take_rows(struct ids_table *out, const struct table *table, uint32_t n_series,
    const struct place *place, struct err *err)
{
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t id = table_at(table, ID, i), ordinal = table_at(table, ORDINAL, i);
        if (id < 0 || id >= SEGMENT_NO_ID || ordinal < 0 || ordinal >= n_series ||
            (i > 0 && id <= out->id[i - 1]))
            return place_corrupt(place, err, "id %" PRIu32 " is out of bounds", i);
        out->id[i] = (uint32_t)id;
        out->ordinal[i] = (uint32_t)ordinal;
    }
    return true;
}

bool ids_get(struct ids_table *out, struct slice raw, uint32_t n_series, const struct place *place,
    struct arena *arena, struct err *err)
{
    struct table table;
    table_init(&table, IDS_COLUMNS);
    bool ok = table_get(&table, raw, IDS_GROUP, false, place, err);
    if (ok) {
        out->n = (uint32_t)table.n_rows;
        out->id = arena_array(arena, table.n_rows, sizeof *out->id);
        out->ordinal = arena_array(arena, table.n_rows, sizeof *out->ordinal);
        ok = (out->id && out->ordinal) || place_corrupt(place, err, "%" PRIu32 " ids", out->n);
    }
    ok = ok && take_rows(out, &table, n_series, place, err);
    table_fini(&table);
    return ok;
}

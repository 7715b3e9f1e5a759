#include "ingest/exemplars/exemplar_reader.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/state/state.h"

#define MINUTES_OF_HOUR (EXEMPLAR_HOUR_MS / EXEMPLAR_MINUTE_MS)

struct exemplar_reader {
    struct store *store;
    uint32_t table;
    int64_t from_ms, to_ms;
    int64_t *minutes;
    size_t n, cap;
};

/* Those of a generation that lie in the range. */
static void add_minutes(struct exemplar_reader *r, int64_t hour)
{
    int64_t from = exemplar_minute(r->from_ms), to = exemplar_minute(r->to_ms);
    GROW(r->minutes, r->cap, r->n + MINUTES_OF_HOUR);
    for (int64_t i = 0; i < MINUTES_OF_HOUR; i++) {
        int64_t minute = hour * MINUTES_OF_HOUR + i;
        if (minute >= from && minute <= to)
            r->minutes[r->n++] = minute;
    }
}

static void find_minutes(struct exemplar_reader *r)
{
    int64_t *hours = NULL;
    size_t have = 0, n;
    while ((n = store_state_generations(r->store, r->table, hours, have)) > have) {
        hours = xreallocarray(hours, n, sizeof *hours);
        have = n;
    }
    for (size_t i = 0; i < n; i++)
        add_minutes(r, hours[i]);
    free(hours);
}

struct exemplar_reader *exemplar_reader_new(
    struct store *store, struct slice stream, int64_t from_ms, int64_t to_ms)
{
    struct exemplar_reader *r = xcalloc(1, sizeof *r);
    char table[STATE_TABLE_NAME_MAX + 1];
    struct err err;
    uint32_t bytes;
    r->store = store;
    r->from_ms = from_ms;
    r->to_ms = to_ms;
    exemplar_table(stream, table);
    if (store_state_table(store, slice_from(table), &r->table, &bytes, &err) &&
        bytes == EXEMPLAR_BYTES)
        find_minutes(r);
    return r;
}

void exemplar_reader_free(struct exemplar_reader **reader)
{
    struct exemplar_reader *r = *reader;
    *reader = NULL;
    if (!r)
        return;
    free(r->minutes);
    free(r);
}

size_t exemplar_reader_minutes(const struct exemplar_reader *reader)
{
    return reader->n;
}

bool exemplar_reader_find(struct exemplar_reader *reader, struct slice metric,
    struct hash128 labels, size_t i, struct exemplar *out, bool *found, struct err *err)
{
    const struct exemplar_reader *r = reader;
    uint8_t record[EXEMPLAR_BYTES];
    int64_t minute = r->minutes[i];
    struct hash128 series = exemplar_series(labels, minute);
    struct hash128 key = exemplar_key(metric, minute, series);
    if (!store_state_get(r->store, r->table, exemplar_hour(minute), key, record, found, err))
        return false;
    if (!*found)
        return true;
    exemplar_decode(record, out);
    *found =
        hash128_eq(out->series, series) && out->time_ms >= r->from_ms && out->time_ms <= r->to_ms;
    return true;
}

#include "ingest/exemplars/exemplar.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"

#define MINUTES_OF_HOUR (EXEMPLAR_HOUR_MS / EXEMPLAR_MINUTE_MS)

static int compare_hashes(struct hash128 a, struct hash128 b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

bool exemplar_wins(const struct exemplar *a, const struct exemplar *b)
{
    int order = compare_hashes(a->series, b->series);
    if (order)
        return order < 0;
    if (a->value != b->value)
        return a->value > b->value;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms;
    order = memcmp(a->trace_id, b->trace_id, sizeof a->trace_id);
    return order ? order < 0 : memcmp(a->span_id, b->span_id, sizeof a->span_id) < 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t exemplar_minute(int64_t time_ms)
{
    return floor_div(time_ms, EXEMPLAR_MINUTE_MS);
}

int64_t exemplar_hour(int64_t minute)
{
    return floor_div(minute, MINUTES_OF_HOUR);
}

static void put_hash(uint8_t *at, struct hash128 hash)
{
    le64_put(at, hash.lo);
    le64_put(at + 8, hash.hi);
}

static struct hash128 get_hash(const uint8_t *at)
{
    return (struct hash128){le64_get(at), le64_get(at + 8)};
}

struct hash128 exemplar_labels(struct labels labels)
{
    uint8_t hashes[LABELS_MAX * 32];
    ensure(labels.n <= LABELS_MAX);
    for (size_t i = 0; i < labels.n; i++) {
        const struct label *l = &labels.items[i];
        put_hash(hashes + i * 32, hash128(l->name.ptr, l->name.len));
        put_hash(hashes + i * 32 + 16, hash128(l->value.ptr, l->value.len));
    }
    return hash128(hashes, labels.n * 32);
}

struct hash128 exemplar_series(struct hash128 labels, int64_t minute)
{
    uint8_t bytes[24];
    put_hash(bytes, labels);
    le64_put(bytes + 16, (uint64_t)minute);
    return hash128(bytes, sizeof bytes);
}

struct hash128 exemplar_key(struct slice metric, int64_t minute, struct hash128 series)
{
    uint8_t bytes[26];
    put_hash(bytes, hash128(metric.ptr, metric.len));
    le64_put(bytes + 16, (uint64_t)minute);
    le16_put(bytes + 24, (uint16_t)(series.lo % EXEMPLAR_PLACES));
    return hash128(bytes, sizeof bytes);
}

void exemplar_table(struct slice stream, char out[STATE_TABLE_NAME_MAX + 1])
{
    snprintf(out, STATE_TABLE_NAME_MAX + 1, "exemplars/%.*s", SLICE_FMT(stream));
}

void exemplar_encode(const struct exemplar *exemplar, uint8_t out[EXEMPLAR_BYTES])
{
    put_hash(out, exemplar->series);
    memcpy(out + 16, exemplar->trace_id, EXEMPLAR_TRACE_BYTES);
    memcpy(out + 32, exemplar->span_id, EXEMPLAR_SPAN_BYTES);
    le64_put(out + 40, (uint64_t)exemplar->value);
    le64_put(out + 48, (uint64_t)exemplar->time_ms);
}

void exemplar_decode(const uint8_t in[EXEMPLAR_BYTES], struct exemplar *out)
{
    out->series = get_hash(in);
    memcpy(out->trace_id, in + 16, EXEMPLAR_TRACE_BYTES);
    memcpy(out->span_id, in + 32, EXEMPLAR_SPAN_BYTES);
    out->value = (int64_t)le64_get(in + 40);
    out->time_ms = (int64_t)le64_get(in + 48);
}

/* Reading cell runs; see cell_run.h for their bytes. */
#include "store/head/cell_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "base/mem.h"
#include "base/number.h"

struct run_reader {
    struct reader in;
    const struct run_shape *shape;
    int64_t block_start;
    struct run_state state;
    struct arena *arena;
    struct columns *out;
    size_t i;  /* the cell that is read */
    bool full; /* of the arena */
    struct hist_bucket *buckets;
    size_t n_buckets, buckets_cap;
};

static inline uint64_t get_varint(struct reader *in)
{
    if (in->at < in->end && *in->at < 0x80)
        return *in->at++;
    return read_varint(in);
}

static inline int64_t get_svarint(struct reader *in)
{
    return unzigzag(get_varint(in));
}

static int128 get_wide(struct reader *in)
{
    uint128 u = 0;
    for (unsigned shift = 0; shift < 128 && !in->failed; shift += 7) {
        uint8_t b = read_u8(in);
        if (shift == 126 && b > 3)
            break;
        u |= (uint128)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return (int128)(u >> 1) ^ -(int128)(u & 1);
    }
    in->failed = true;
    return 0;
}

/* Takes a head; the time is set. Returns the op, or -1 when the value is in the head. */
static inline int get_head(struct run_reader *r, int64_t *value)
{
    uint64_t head = get_varint(&r->in);
    int op = -1;
    int64_t d = 0;
    if (head & 1) {
        op = (int)(head >> 1 & 3);
        d = unzigzag(head >> 3);
        if (d > UINT32_MAX || d < -(int64_t)UINT32_MAX)
            r->in.failed = true;
        else if (op != RUN_EXACT)
            d *= r->shape->unit_ms;
    } else {
        *value = unzigzag(head >> 1);
    }
    struct run_state *s = &r->state;
    int64_t step = s->step + d, t = (int64_t)s->t + step;
    if (t <= 0 || t > INT32_MAX) {
        r->in.failed = true;
        t = 1;
    }
    s->step = s->t == 0 ? (int32_t)r->shape->unit_ms : (int32_t)step;
    s->t = (uint32_t)t;
    r->out->t[r->i] = r->block_start + t;
    return op;
}

static void get_amount(struct run_reader *r)
{
    int64_t value = 0;
    switch (get_head(r, &value)) {
    case -1: r->out->amount[r->i] = value; return;
    case RUN_FIRST: r->out->amount[r->i] = 1; return;
    case RUN_SECOND: r->out->amount[r->i] = get_svarint(&r->in); return;
    default: r->out->amount[r->i] = get_wide(&r->in); return;
    }
}

static void get_gauge(struct run_reader *r)
{
    struct columns *c = r->out;
    size_t i = r->i;
    int64_t change = 0;
    int op = get_head(r, &change);
    if (op >= 0)
        change = get_svarint(&r->in);
    int64_t v = (int64_t)((uint64_t)r->state.value + (uint64_t)change);
    r->state.value = v;
    c->last[i] = c->min[i] = c->max[i] = v;
    c->sum[i] = v;
    c->count[i] = 1;
    int64_t age = op <= 0 ? (int64_t)get_varint(&r->in) : get_svarint(&r->in);
    c->last_ms[i] = (int64_t)((uint64_t)c->t[i] - (uint64_t)age);
    if (op <= 0)
        return;
    c->min[i] = get_svarint(&r->in);
    c->max[i] = get_svarint(&r->in);
    c->count[i] = (int64_t)get_varint(&r->in);
    c->sum[i] = get_wide(&r->in);
    if (c->count[i] < 1)
        r->in.failed = true;
}

static void get_histogram(struct run_reader *r)
{
    int64_t value = 0;
    int op = get_head(r, &value);
    if (op < 0)
        r->in.failed = true;
    r->out->sum[r->i] = op == RUN_FIRST ? get_svarint(&r->in) : get_wide(&r->in);
    uint64_t n = get_varint(&r->in);
    if (n > reader_left(&r->in) / 2 || r->n_buckets + n > UINT32_MAX) {
        r->in.failed = true;
        return;
    }
    GROW(r->buckets, r->buckets_cap, r->n_buckets + n);
    int64_t key = 0;
    for (uint64_t k = 0; k < n; k++) {
        int64_t d = get_svarint(&r->in), count = get_svarint(&r->in);
        if (d > INT32_MAX || d < INT32_MIN || (k && d <= 0) || count == 0)
            r->in.failed = true;
        if (r->in.failed)
            return;
        key += d;
        if (key > INT32_MAX || key < INT32_MIN)
            r->in.failed = true;
        r->buckets[r->n_buckets++] = (struct hist_bucket){(int32_t)key, count};
    }
    r->out->bucket_at[r->i + 1] = (uint32_t)r->n_buckets;
}

/* ---- samples ---- */

static double get_double(struct reader *in)
{
    return bits_double(read_le64(in));
}

static struct hist_fbucket *get_fbuckets(struct run_reader *r, uint32_t *n_out)
{
    uint64_t n = get_varint(&r->in);
    if (n > reader_left(&r->in) / 9)
        r->in.failed = true;
    struct hist_fbucket *b = r->in.failed ? NULL : arena_array(r->arena, n, sizeof *b);
    *n_out = (uint32_t)n;
    r->full |= !b && !r->in.failed;
    int64_t index = 0;
    for (uint64_t i = 0; b && i < n; i++) {
        int64_t d = get_svarint(&r->in);
        index = (int64_t)((uint64_t)index + (uint64_t)d);
        if (index != (int32_t)index || (i && d <= 0))
            r->in.failed = true;
        b[i] = (struct hist_fbucket){(int32_t)index, get_double(&r->in)};
    }
    return b;
}

static const struct hist *get_hist(struct run_reader *r)
{
    struct hist *h = arena_zalloc(r->arena, sizeof *h);
    if (!h) {
        r->full = true;
        return NULL;
    }
    h->schema = (int)get_svarint(&r->in);
    unsigned hint = read_u8(&r->in);
    h->reset_hint = (enum hist_reset_hint)hint;
    h->zero_threshold = get_double(&r->in);
    h->zero_count = get_double(&r->in);
    h->count = get_double(&r->in);
    h->sum = get_double(&r->in);
    h->positive = get_fbuckets(r, &h->n_positive);
    h->negative = get_fbuckets(r, &h->n_negative);
    uint64_t n = get_varint(&r->in);
    if (n > reader_left(&r->in) / 8 || hint > HIST_GAUGE ||
        (h->schema != HIST_SCHEMA_CUSTOM && (h->schema < -4 || h->schema > 8)))
        r->in.failed = true;
    double *bounds = r->in.failed ? NULL : arena_array(r->arena, n, sizeof *bounds);
    r->full |= !bounds && !r->in.failed;
    for (uint64_t i = 0; bounds && i < n; i++)
        bounds[i] = get_double(&r->in);
    h->bounds = bounds;
    h->n_bounds = (uint32_t)n;
    return h;
}

/* Arrays that few samples need are made when the first one does. */
static bool need_array(struct run_reader *r, void *array, size_t size)
{
    void *made;
    memcpy(&made, array, sizeof made);
    if (!made) {
        made = arena_zalloc(r->arena, r->out->n * size);
        memcpy(array, &made, sizeof made);
    }
    r->full |= !made;
    return made != NULL;
}

static uint64_t decimal_bits(const struct run_state *state)
{
    double v = state->digits ? (double)state->value / (double)pow10_int(state->digits)
                             : (double)state->value;
    return double_bits(v);
}

static uint64_t get_flagged(struct run_reader *r)
{
    unsigned flags = read_u8(&r->in);
    uint64_t bits = 0;
    if (flags & RUN_FLAG_DIGITS) {
        r->state.digits = read_u8(&r->in);
        r->state.value = get_svarint(&r->in);
        if (r->state.digits > RUN_DIGITS_MAX) {
            r->in.failed = true;
            return 0;
        }
        bits = decimal_bits(&r->state);
    }
    if (flags & RUN_FLAG_BITS)
        bits = read_le64(&r->in);
    if (flags & RUN_FLAG_START) {
        int64_t before = get_svarint(&r->in);
        if (need_array(r, &r->out->start, sizeof *r->out->start))
            r->out->start[r->i] = (int64_t)((uint64_t)r->out->t[r->i] - (uint64_t)before);
    }
    if ((flags & RUN_FLAG_HISTOGRAM) && need_array(r, &r->out->hist, sizeof(void *)))
        r->out->hist[r->i] = get_hist(r);
    return bits;
}

static void get_sample(struct run_reader *r)
{
    int64_t change = 0;
    int op = get_head(r, &change);
    uint64_t *bits = &r->out->bits[r->i];
    if (op == RUN_BITS) {
        *bits = read_le64(&r->in);
    } else if (op == RUN_FLAGS) {
        *bits = get_flagged(r);
    } else if (op == RUN_EXACT) {
        r->in.failed = true;
    } else {
        if (op == RUN_DECIMAL)
            change = get_svarint(&r->in);
        r->state.value = (int64_t)((uint64_t)r->state.value + (uint64_t)change);
        *bits = decimal_bits(&r->state);
    }
}

/* ---- all ---- */

static bool get_cells(struct run_reader *r)
{
    static void (*const get[])(struct run_reader *) = {
        [KIND_COUNTER] = get_amount,
        [KIND_LEVEL] = get_amount,
        [KIND_GAUGE] = get_gauge,
        [KIND_HISTOGRAM] = get_histogram,
        [KIND_SAMPLE] = get_sample,
    };
    struct columns *out = r->out;
    if (!columns_alloc(r->arena, out->kind, out->n, 0, false, out)) {
        r->full = true;
        return false;
    }
    for (r->i = 0; r->i < out->n && !r->in.failed && !r->full; r->i++)
        get[out->kind](r);
    if (out->kind == KIND_HISTOGRAM && !r->in.failed) {
        out->bucket = arena_array(r->arena, r->n_buckets, sizeof *out->bucket);
        r->full |= !out->bucket;
        if (out->bucket && r->n_buckets)
            memcpy(out->bucket, r->buckets, r->n_buckets * sizeof *out->bucket);
    }
    return !r->in.failed && !r->full && reader_left(&r->in) == 0;
}

bool run_decode(struct slice run, const struct run_shape *shape, size_t n, int64_t block_start,
    struct arena *arena, struct columns *out, struct run_state *end, struct err *err)
{
    struct run_reader r = {.in = reader_of(run),
        .shape = shape,
        .block_start = block_start,
        .arena = arena,
        .out = out};
    *out = (struct columns){.kind = shape->kind, .n = n};
    bool ok = get_cells(&r);
    free(r.buckets);
    if (ok && end)
        *end = r.state;
    if (ok)
        return true;
    if (r.full)
        return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
    return err_set(err, ERR_CORRUPT, "head: cells of a %s end or break at byte %zu of %zu",
        kind_name(shape->kind), run.len - reader_left(&r.in), run.len);
}

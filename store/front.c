#include "store/front.h"

#include "base/bytes.h"
#include "store/bounds.h"
#include "store/frame.h"

#define FLAG_DEFINITIONS 1
#define FLAG_CLOCKS      2

/* ---- making ---- */

static struct clock_entry *find(struct frame_front *front, struct slice name)
{
    for (size_t i = 0; i < front->n_clocks; i++)
        if (slice_eq(front->clocks[i].name, name))
            return &front->clocks[i];
    return NULL;
}

static void add_clock(struct frame_front *front, const struct clock_entry *clock)
{
    struct clock_entry *known = find(front, clock->name);
    if (!known && front->n_clocks == FRONT_CLOCKS_MAX) {
        front->without_clocks = true;
        return;
    }
    if (!known) {
        front->clocks[front->n_clocks++] = *clock;
        return;
    }
    if (clock->frontier_ms > known->frontier_ms)
        known->frontier_ms = clock->frontier_ms;
    if (clock->watermark_ms > known->watermark_ms)
        known->watermark_ms = clock->watermark_ms;
}

void front_add(struct frame_front *front, const struct transaction *t, int64_t block_ms)
{
    struct touched touched;
    touched_of(&touched, t, block_ms);
    touched_merge(&front->touched, &touched);
    front->definitions = front->definitions || t->n_metrics || t->n_updates || t->n_series;
    for (size_t i = 0; i < t->n_clocks; i++)
        add_clock(front, &t->clocks[i]);
}

/* ---- bytes ---- */

static void encode_clocks(const struct frame_front *front, struct buf *out)
{
    buf_varint(out, front->n_clocks);
    for (size_t i = 0; i < front->n_clocks; i++) {
        buf_lstr(out, front->clocks[i].name);
        buf_svarint(out, front->clocks[i].frontier_ms);
        buf_svarint(out, front->clocks[i].watermark_ms);
    }
}

void front_encode(const struct frame_front *front, struct buf *out)
{
    size_t start = out->len;
    unsigned flags = front->definitions ? FLAG_DEFINITIONS : 0;
    buf_u8(out, (uint8_t)(flags | FLAG_CLOCKS));
    touched_encode(&front->touched, out);
    size_t end = out->len;
    if (!front->without_clocks)
        encode_clocks(front, out);
    if (!front->without_clocks && out->len - start <= FRAME_FRONT_MAX)
        return;
    out->len = end;
    out->ptr[start] = (char)flags;
}

static bool decode_clocks(struct reader *r, struct frame_front *out)
{
    uint64_t n = read_varint(r);
    if (n > FRONT_CLOCKS_MAX)
        return false;
    for (; out->n_clocks < n && !r->failed; out->n_clocks++) {
        struct clock_entry *c = &out->clocks[out->n_clocks];
        c->name = read_lstr(r);
        c->frontier_ms = read_svarint(r);
        c->watermark_ms = read_svarint(r);
        if (r->failed || !clock_check(c->name, NULL))
            return false;
    }
    return !r->failed;
}

bool front_decode(struct slice bytes, struct frame_front *out)
{
    *out = (struct frame_front){.without_clocks = true};
    if (bytes.len == 0) {
        out->touched = TOUCHED_ALL;
        out->definitions = true;
        return true;
    }
    struct reader r = reader_of(bytes);
    unsigned flags = read_u8(&r);
    if (flags > (FLAG_DEFINITIONS | FLAG_CLOCKS) || !touched_decode(&r, &out->touched))
        return false;
    out->definitions = flags & FLAG_DEFINITIONS;
    out->without_clocks = !(flags & FLAG_CLOCKS);
    return (out->without_clocks || decode_clocks(&r, out)) && reader_left(&r) == 0;
}

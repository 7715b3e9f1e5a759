#include "ingest/lifecycle/life_counts.h"

#include <string.h>

/* The first of these generations, or a later one; n: there is none. */
static size_t place_of(const struct life_counts *c, int64_t generation)
{
    size_t i = 0;
    while (i < c->n && c->incomplete[i].generation < generation)
        i++;
    return i;
}

static void add(struct life_counts *c, int64_t generation)
{
    size_t i = place_of(c, generation);
    if (i < c->n && c->incomplete[i].generation == generation) {
        c->incomplete[i].n++;
        return;
    }
    if (c->n == LIFE_GENERATIONS_MAX) {
        c->incomplete[i < c->n ? i : c->n - 1].n++;
        return;
    }
    memmove(&c->incomplete[i + 1], &c->incomplete[i], (c->n - i) * sizeof c->incomplete[0]);
    c->incomplete[i].generation = generation;
    c->incomplete[i].n = 1;
    c->n++;
}

/* From where add has put it, or from a neighbour when that has none left. */
static void take(struct life_counts *c, int64_t generation)
{
    size_t i = place_of(c, generation);
    if (c->n == 0)
        return;
    i = i < c->n ? i : c->n - 1;
    while (i > 0 && c->incomplete[i].n == 0)
        i--;
    c->incomplete[i].n -= c->incomplete[i].n > 0;
}

void life_counts_move(
    struct life_counts *counts, const struct life_tally *before, const struct life_tally *now)
{
    counts->open += now->open;
    counts->open -= before->open < counts->open ? before->open : counts->open;
    if (before->incomplete)
        take(counts, before->generation);
    if (now->incomplete)
        add(counts, now->generation);
}

void life_counts_drop(struct life_counts *counts, int64_t below)
{
    size_t gone = place_of(counts, below);
    for (size_t i = 0; i < gone; i++)
        counts->forgotten += counts->incomplete[i].n;
    counts->n -= gone;
    memmove(
        counts->incomplete, counts->incomplete + gone, counts->n * sizeof counts->incomplete[0]);
}

uint64_t life_counts_incomplete(const struct life_counts *counts)
{
    uint64_t n = 0;
    for (size_t i = 0; i < counts->n; i++)
        n += counts->incomplete[i].n;
    return n;
}

void life_counts_encode(const struct life_counts *counts, struct buf *out)
{
    buf_varint(out, counts->open);
    buf_varint(out, counts->forgotten);
    buf_varint(out, counts->n);
    for (size_t i = 0; i < counts->n; i++) {
        buf_svarint(out, counts->incomplete[i].generation);
        buf_varint(out, counts->incomplete[i].n);
    }
}

void life_counts_decode(struct life_counts *counts, struct reader *in)
{
    *counts = (struct life_counts){0};
    counts->open = read_varint(in);
    counts->forgotten = read_varint(in);
    uint64_t n = read_varint(in);
    for (uint64_t i = 0; i < n && i < LIFE_GENERATIONS_MAX && !in->failed; i++) {
        counts->incomplete[i].generation = read_svarint(in);
        counts->incomplete[i].n = read_varint(in);
        counts->n++;
    }
    if (in->failed)
        *counts = (struct life_counts){0};
}

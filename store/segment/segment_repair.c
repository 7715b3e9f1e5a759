/*
 * Repairing a segment: a new one from what can be read of a damaged one. A series whose labels or
 * chunks cannot be read is lost, and a chunk whose page cannot; the rest is written as it is. What
 * was written is again a segment like every other, so its name differs, and the damaged file stays.
 *
 * The names of labels and the table of metrics have to be whole: without them nothing is known of
 * the rest. Header, footer and the index of pages can be mended (segment_mend.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/segment_reader.h"

struct repair {
    const struct segment *segment;
    struct segment_repaired *out;
    const struct segment_repair_how *how;
    uint32_t at, n;
    uint32_t *ids;
    struct arena arena;
    bool failed; /* not by damage: nothing can be said of what is whole */
    struct err err;
};

/* True when the error is damage, which is a loss; any other ends the repair. */
static bool is_damage(struct repair *r, const struct err *why)
{
    if (why->code == ERR_CORRUPT || why->code == ERR_UNSUPPORTED ||
        (why->code == ERR_IO && r->how->disk_errors))
        return true;
    r->failed = true;
    r->err = *why;
    return false;
}

static void lose(struct repair *r, struct segment_loss *loss, const struct err *why)
{
    if (!is_damage(r, why))
        return;
    loss->why = why;
    if (loss->cells) {
        r->out->lost_chunks++;
        r->out->lost_cells += loss->cells;
    } else {
        r->out->lost_series++;
    }
    r->how->lost(r->how->ctx, loss);
}

/* The chunks that can be read, as columns. */
static bool read_chunks(
    struct repair *r, struct segment_loss *loss, struct columns **out, size_t *k)
{
    const struct segment_chunk *chunks;
    struct err why = {0};
    size_t n;
    *k = 0;
    if (!segment_chunks(r->segment, r->at, INT64_MIN, INT64_MAX, &r->arena, &chunks, &n, &why)) {
        lose(r, loss, &why);
        return false;
    }
    *out = arena_array(&r->arena, n, sizeof **out);
    for (size_t i = 0; i < n && !r->failed; i++) {
        if (segment_read(r->segment, &chunks[i], &r->arena, *out + *k, &why)) {
            ++*k;
            continue;
        }
        loss->min_t = chunks[i].min_t;
        loss->max_t = chunks[i].max_t;
        loss->cells = chunks[i].n;
        lose(r, loss, &why);
    }
    return *k > 0 && !r->failed;
}

/* False when nothing is left of the series. */
static bool read_series(struct repair *r, struct segment_series *out)
{
    const struct segment_info *info = segment_info(r->segment);
    struct segment_loss loss = {
        .ordinal = r->at, .min_t = info->t0 + 1, .max_t = info->t1, .labels = {NULL, 0}};
    struct columns *columns;
    struct err why = {0};
    size_t k;
    arena_reset(&r->arena);
    if (!segment_metric(r->segment, r->at, &out->def, &why) ||
        !segment_labels(r->segment, r->at, &r->arena, &out->labels, &why)) {
        lose(r, &loss, &why);
        return false;
    }
    loss.labels = out->labels;
    out->id = r->ids[r->at];
    if (!read_chunks(r, &loss, &columns, &k))
        return false;
    ensure(columns_merge(&r->arena, columns, k, INT64_MIN, INT64_MAX, &out->columns));
    return out->columns.n > 0;
}

static bool next_series(void *ctx, struct segment_series *out)
{
    struct repair *r = ctx;
    for (; !r->failed && r->at < r->n; r->at++) {
        *out = (struct segment_series){0};
        if (!read_series(r, out) || r->failed)
            continue;
        r->at++;
        r->out->series++;
        return true;
    }
    return false;
}

static bool failed(void *ctx, struct err *err)
{
    const struct repair *r = ctx;
    if (r->failed)
        *err = r->err;
    return r->failed;
}

/* Without its ids the store looks the series up; without its sources it knows no less. */
static bool read_extras(struct repair *r, struct segment_input *input, struct err *err)
{
    struct err why = {0};
    bool ids = !r->how->without_ids;
    if (ids && !segment_ids(r->segment, r->ids, &why)) {
        if (!is_damage(r, &why))
            return failed(r, err) && false;
        ids = false;
        r->out->lost_ids = true;
    }
    for (uint32_t i = 0; !ids && i < r->n; i++)
        r->ids[i] = SEGMENT_NO_ID;
    if (!segment_sources(r->segment, &input->sources, &input->n_sources, &why)) {
        if (!is_damage(r, &why))
            return failed(r, err) && false;
        input->sources = NULL;
        input->n_sources = 0;
        r->out->lost_sources = true;
    }
    return true;
}

bool segment_repair(const struct segment *segment, const char *dir,
    const struct segment_repair_how *how, struct segment_repaired *out, struct err *err)
{
    const struct segment_info *info = segment_info(segment);
    struct repair r = {.segment = segment, .out = out, .how = how, .n = (uint32_t)info->series};
    struct segment_input input = {.t0 = info->t0,
        .t1 = info->t1,
        .resolution_ms = info->resolution_ms,
        .next = next_series,
        .failed = failed,
        .ctx = &r};
    *out = (struct segment_repaired){0};
    arena_init(&r.arena, 0);
    r.ids = xreallocarray(NULL, r.n, sizeof *r.ids);
    bool ok = segment_metrics(segment, err) && read_extras(&r, &input, err);
    if (ok && !segment_write(dir, &input, &out->info, err)) {
        out->info = (struct segment_info){0};
        ok = !r.failed && r.at == r.n && out->series == 0; /* nothing is left, and no file */
    }
    arena_fini(&r.arena);
    free(r.ids);
    return ok;
}

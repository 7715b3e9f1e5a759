/*
 * The bases of chunks of differences: found when the chunk is listed, so that who fetches and
 * decodes it has nothing to look up.
 */
#include <inttypes.h>
#include <string.h>

#include "base/ensure.h"
#include "store/codec/codec.h"
#include "store/segment/chunk.h"
#include "store/segment/segment_reader.h"

void bases_init(struct bases *bases, const struct segment *segment)
{
    *bases = (struct bases){.segment = segment};
}

void bases_fini(struct bases *bases)
{
    segment_release(bases->segment, bases->held);
}

/* The last page of chunks whose first row is not behind this one. */
static const struct page_ref *page_of_row(const struct segment *s, uint32_t row)
{
    const struct page_range range = s->index.types[PAGE_CHUNKS];
    uint32_t lo = range.begin, hi = range.end;
    while (lo + 1 < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        *(s->index.pages[mid].first <= row ? &lo : &hi) = mid;
    }
    return &s->index.pages[lo];
}

/* The chunk of a row; NULL: *err says why. It is borrowed until the next call. */
static const struct segment_chunk *chunk_of_row(struct bases *b, uint32_t row, struct err *err)
{
    if (!b->held || row < b->ref->first || row - b->ref->first >= b->ref->rows) {
        segment_release(b->segment, b->held);
        b->ref = page_of_row(b->segment, row);
        b->held = segment_hold(b->segment, b->ref, err);
        if (!b->held)
            return NULL;
    }
    const struct chunk_group *group = b->held->value;
    if (row >= b->ref->first && row - b->ref->first < group->n)
        return &group->rows[row - b->ref->first];
    segment_damaged(b->segment, SECTION_CHUNKDIR, "the base of a chunk is missing", err);
    return NULL;
}

static bool same_times(const struct segment_times *a, const struct segment_times *b)
{
    return a->first == b->first && a->step == b->step && a->n == b->n && a->start == b->start &&
           a->page == b->page && a->offset == b->offset && a->bytes == b->bytes &&
           a->codec == b->codec;
}

/* A base has samples of its own at the same times, and is of a series before. */
static bool can_be_base(const struct bases *b, const struct segment_chunk *base,
    const struct segment_chunk *of, bool *can, struct err *err)
{
    const struct metric_def *def;
    if (base->ordinal >= of->ordinal)
        return *can = false, true;
    if (!segment_metric(b->segment, base->ordinal, &def, err))
        return false;
    uint8_t form = base->codecs[CHUNK_FORM];
    *can = def->kind == KIND_SAMPLE && of->kind == KIND_SAMPLE && base->n == of->n &&
           same_times(&base->times, &of->times) && (form == CODEC_NONE || form == FORM_DIFFERENCES);
    return true;
}

/* Rows go back at every step, so this ends. */
bool bases_find(
    struct bases *bases, struct segment_chunk *chunk, struct arena *arena, struct err *err)
{
    struct segment_base found[CHUNK_BASES_MAX], *copy;
    uint32_t row = chunk->row, back = chunk->back, n = 0;
    if (back == 0)
        return true;
    struct place place = {bases->segment->path, "page", page_of_row(bases->segment, row)->offset};
    while (back) {
        bool can = false;
        const struct segment_chunk *base = chunk_of_row(bases, row -= back, err);
        if (!base || (n < CHUNK_BASES_MAX && !can_be_base(bases, base, chunk, &can, err)))
            return false;
        if (!can)
            return place_corrupt(&place, err,
                "chunk %" PRIu32 " is stored as differences to chunk %" PRIu32 ", which cannot be",
                chunk->row, row);
        found[n] = (struct segment_base){base->page, base->offset, base->bytes, {0}};
        memcpy(found[n++].codecs, base->codecs, sizeof base->codecs);
        back = base->back;
    }
    copy = arena_array(arena, n, sizeof *copy);
    if (!copy)
        return err_set(err, ERR_LIMIT, "no memory for the chunks of a series");
    memcpy(copy, found, n * sizeof *copy);
    chunk->bases = copy;
    chunk->n_bases = n;
    return true;
}

/*
 * Fetching: the pages of segments that planned series need, each read and unpacked once, however
 * many series share it.
 *
 *     series -> parts -> pages wanted, by segment -> runs of near ones, a read each -> parts
 *
 * A segment that cannot be read is left out of the answer with a warning, or ends it with an error,
 * as was asked for. Cancelling is looked at before every read.
 */
#include "base/ensure.h"
#include "store/snapshot_priv.h"

/* So many pages are gathered for one read. */
#define RUN_PAGES 256

static bool is_fetched(const struct snapshot *s, const struct part *p)
{
    return !p->head && !p->whole && !s->seen[p->at].failed;
}

/* ---- which pages ---- */

static bool want_part(struct snapshot *s, const struct part *p, struct err *err)
{
    uint32_t numbers[CHUNK_PAGES_MAX];
    struct seen_segment *seen = &s->seen[p->at];
    size_t n_pages = segment_pages(s->segments[p->at].segment);
    if (!seen->pages) {
        seen->pages = arena_zalloc(&s->arena, n_pages * sizeof *seen->pages);
        seen->wanted = arena_zalloc(&s->arena, n_pages * sizeof *seen->wanted);
        if (!seen->pages || !seen->wanted)
            return snapshot_full(err);
    }
    size_t n = segment_chunk_pages(p->piece, numbers);
    for (size_t i = 0; i < n; i++) {
        ensure(numbers[i] < n_pages);
        if (seen->pages[numbers[i]].ptr || seen->wanted[numbers[i]])
            continue;
        seen->wanted[numbers[i]] = true;
        if (seen->n_wanted++ == 0)
            seen->first = seen->last = numbers[i];
        seen->first = numbers[i] < seen->first ? numbers[i] : seen->first;
        seen->last = numbers[i] > seen->last ? numbers[i] : seen->last;
    }
    return true;
}

static bool want(struct snapshot *s, const struct planned *series, struct err *err)
{
    for (const struct part *p = series->parts; p; p = p->next)
        if (is_fetched(s, p) && !want_part(s, p, err))
            return false;
    return true;
}

/* ---- reading them ---- */

/* Reads n pages that come in one read. */
static bool read_run(struct snapshot *s, uint32_t at, const uint32_t *pages, size_t n,
    struct arena *arena, struct err *err)
{
    struct slice raw[RUN_PAGES] = {{NULL, 0}};
    struct seen_segment *seen = &s->seen[at];
    if (!snapshot_go_on(s, err) ||
        !segment_fetch_run(s->segments[at].segment, pages, n, arena, raw, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        seen->pages[pages[i]] = raw[i];
        seen->wanted[pages[i]] = false;
    }
    seen->n_wanted -= (uint32_t)n;
    return true;
}

/* Everything that is wanted of one segment. */
static bool read_segment(struct snapshot *s, uint32_t at, struct arena *arena, struct err *err)
{
    struct seen_segment *seen = &s->seen[at];
    uint32_t pages[RUN_PAGES] = {0};
    for (uint32_t page = seen->first; seen->n_wanted > 0;) {
        size_t n = 0;
        for (uint32_t i = page; n < RUN_PAGES && i <= seen->last; i++)
            if (seen->wanted[i])
                pages[n++] = i;
        ensure(n > 0);
        size_t run = segment_run(s->segments[at].segment, pages, n);
        ensure(run > 0 && run <= n);
        if (!read_run(s, at, pages, run, arena, err))
            return snapshot_without(s, at, err);
        page = pages[run - 1] + 1;
    }
    return true;
}

/* ---- back to parts ---- */

static bool give_pages(
    struct snapshot *s, struct planned *series, struct arena *arena, struct err *err)
{
    for (struct part *p = series->parts; p; p = p->next) {
        uint32_t numbers[CHUNK_PAGES_MAX];
        if (!is_fetched(s, p))
            continue;
        size_t n = segment_chunk_pages(p->piece, numbers);
        p->pages = arena_array(arena, n, sizeof *p->pages);
        if (!p->pages)
            return snapshot_full(err);
        for (size_t i = 0; i < n; i++)
            p->pages[i] = s->seen[p->at].pages[numbers[i]];
    }
    return true;
}

bool planned_fetch(struct snapshot *s, struct planned *series, struct arena *arena, struct err *err)
{
    if (!want(s, series, err))
        return false;
    for (const struct part *p = series->parts; p; p = p->next)
        if (is_fetched(s, p) && s->seen[p->at].n_wanted > 0 && !read_segment(s, p->at, arena, err))
            return false;
    return give_pages(s, series, arena, err);
}

/* What is done for each planned series of a snapshot. */
typedef bool fetch_f(struct snapshot *s, struct planned *series, struct err *err);

static bool each_series(struct snapshot *s, fetch_f *each, struct err *err)
{
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++)
            for (struct planned *x = &plan->series[i]; x; x = x->opening)
                if (!each(s, x, err))
                    return false;
    return true;
}

static bool want_pages(struct snapshot *s, struct planned *series, struct err *err)
{
    return want(s, series, err);
}

static bool give_all(struct snapshot *s, struct planned *series, struct err *err)
{
    return give_pages(s, series, &s->arena, err);
}

bool plans_fetch(struct snapshot *s, struct err *err)
{
    if (!each_series(s, want_pages, err))
        return false;
    for (uint32_t i = 0; i < s->n_segments; i++)
        if (!s->seen[i].failed && s->seen[i].n_wanted > 0 && !read_segment(s, i, &s->arena, err))
            return false;
    return each_series(s, give_all, err);
}

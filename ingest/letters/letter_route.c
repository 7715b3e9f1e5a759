#include "ingest/letters/letter_route.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ingest/letters/found_letters.h"
#include "ingest/letters/letter.h"

#define NAME_BYTES 384 /* of a source: a stream has at most 40, a topic 249 */

enum route_state {
    ROUTE_FOUND,   /* letters that were found may be in the outbox, or enter it yet */
    ROUTE_DRAINS,  /* they may be in it, before the chunk drain_to */
    ROUTE_SETTLED, /* none of them is */
};

struct way {                    /* one partition */
    int64_t stored, begin, end; /* position in the store, -1: none; what is read; what was sent */
};

struct letter_route {
    struct store *store;
    struct outbox *outbox;
    struct slice stream;
    const char *topic;
    struct way *ways; /* by partition */
    size_t n_ways, ways_cap;
    struct found_letters *found;
    enum route_state state;
    uint64_t drain_to;
    uint64_t noted; /* since the topic's end was read */
};

struct letter_route *letter_route_new(
    struct store *store, struct slice stream, const char *topic, struct outbox *outbox)
{
    struct letter_route *r = xcalloc(1, sizeof *r);
    r->store = store;
    r->outbox = outbox;
    r->stream = stream;
    r->topic = topic;
    r->found = found_letters_new();
    return r;
}

void letter_route_free(struct letter_route **route)
{
    struct letter_route *r = *route;
    *route = NULL;
    if (!r)
        return;
    found_letters_free(&r->found);
    free(r->ways);
    free(r);
}

/* ---- positions ---- */

static struct slice position_name(
    const struct letter_route *r, size_t partition, char out[NAME_BYTES])
{
    snprintf(
        out, NAME_BYTES, "dead-letters/%.*s/%s/%zu", SLICE_FMT(r->stream), r->topic, partition);
    return slice_from(out);
}

static int64_t stored_position(const struct letter_route *r, size_t partition)
{
    char name[NAME_BYTES];
    struct source_state state;
    return store_source(r->store, position_name(r, partition, name), &state) ? state.next : -1;
}

static void put_position(
    const struct letter_route *r, struct txn *txn, size_t partition, int64_t next)
{
    char name[NAME_BYTES];
    txn_source(txn, position_name(r, partition, name), next, INT64_MIN, SLICE(""));
}

/* ---- the topic's end is read ---- */

/* Where nothing of the stream was ever sent to the topic it begins at what is the end now. What was
 * made anew, or cut, is read from its beginning, and so is a partition that came later. */
void letter_route_open(struct letter_route *route, int n, const int64_t *ends, int64_t *begins)
{
    struct letter_route *r = route;
    bool known = false;
    GROW(r->ways, r->ways_cap, (size_t)n);
    r->n_ways = (size_t)n;
    for (size_t i = 0; i < r->n_ways; i++) {
        r->ways[i] = (struct way){.stored = stored_position(r, i), .end = ends[i]};
        known |= r->ways[i].stored >= 0;
    }
    for (size_t i = 0; i < r->n_ways; i++) {
        struct way *w = &r->ways[i];
        bool sound = w->stored >= 0 && w->stored <= w->end;
        w->begin = sound ? w->stored : known ? 0 : w->end;
        if (w->begin < begins[i])
            begins[i] = w->begin;
    }
}

void letter_route_found(
    struct letter_route *route, int32_t partition, int64_t offset, struct slice place)
{
    if ((size_t)partition < route->n_ways && offset >= route->ways[partition].begin)
        found_letters_add(route->found, place);
}

bool letter_route_opened(struct letter_route *route, struct txn *txn)
{
    struct letter_route *r = route;
    bool any = false;
    r->state = found_letters_count(r->found) ? ROUTE_FOUND : ROUTE_SETTLED;
    r->noted = 0;
    for (size_t i = 0; i < r->n_ways; i++)
        if (r->ways[i].begin != r->ways[i].stored) {
            put_position(r, txn, i, r->ways[i].begin);
            any = true;
        }
    return any;
}

/* ---- letters are sent ---- */

bool letter_route_has(const struct letter_route *route, const struct letter *letter)
{
    return found_letters_has(route->found, letter_id(letter));
}

void letter_route_sent(struct letter_route *route, int32_t partition, int64_t next)
{
    struct letter_route *r = route;
    GROW(r->ways, r->ways_cap, (size_t)partition + 1);
    for (; r->n_ways <= (size_t)partition; r->n_ways++)
        r->ways[r->n_ways] = (struct way){.stored = -1};
    if (r->ways[partition].end < next)
        r->ways[partition].end = next;
}

void letter_route_noted(struct letter_route *route, uint64_t n)
{
    route->noted += n;
}

void letter_route_write(const struct letter_route *route, struct txn *txn)
{
    const struct letter_route *r = route;
    for (size_t i = 0; r->state == ROUTE_SETTLED && i < r->n_ways; i++)
        if (r->ways[i].stored != r->ways[i].end)
            put_position(r, txn, i, r->ways[i].end);
}

void letter_route_written(struct letter_route *route)
{
    for (size_t i = 0; i < route->n_ways; i++)
        route->ways[i].stored = stored_position(route, i);
}

/* Not all records of what was found need come again: the topic's end is not to grow for ever. */
bool letter_route_settle(struct letter_route *route)
{
    struct letter_route *r = route;
    if (r->state == ROUTE_FOUND &&
        (r->noted >= FOUND_LETTERS_MAX || found_letters_are_read(r->found, r->store))) {
        r->drain_to = outbox_tail(r->outbox);
        r->state = ROUTE_DRAINS;
    }
    if (r->state != ROUTE_DRAINS || outbox_head(r->outbox) < r->drain_to)
        return false;
    r->state = ROUTE_SETTLED;
    found_letters_clear(r->found);
    return true;
}

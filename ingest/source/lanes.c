#include "ingest/source/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

/* A partition that was read to its end so recently is not behind. */
#define BEHIND_MS 2000
/* One of which no event has come any further for so long holds nobody: its broker is away, or what
 * it has is refused. */
#define STUCK_MS 10000
/* One of which nothing is known yet is waited for so long. */
#define UNKNOWN_MS 1000
/* From round to round no more than this passes: who stood still between them is the reader, or the
 * clock was set. */
#define ROUND_MS   1000
#define SLICE_MOST 2000
/* Records of a lane begin with this room. */
#define ROOM_FIRST 64

struct lane {
    struct partition *partition;
    void **records; /* a ring; cap is a power of two */
    size_t cap, head, n;
    size_t bytes;
    size_t slice, taken;         /* how many at once; how many the last time */
    int64_t stride_ms;           /* what one of these spanned */
    int64_t taken_from_ms;       /* newest_ms before it */
    int64_t newest_ms, moved_ms; /* as last seen, and when it changed */
    int64_t began_ms;            /* when it was first looked at */
    bool begun, served;
};

struct lanes {
    struct lane **all;
    size_t n_all, all_cap;
    size_t bytes, records;
    int64_t now_ms;   /* what has passed, round by round */
    int64_t clock_ms; /* of the last round; INT64_MIN: there was none */
    size_t at;        /* where the next turn begins while nobody holds */
    int64_t floor_ms; /* the lowest of those who hold; INT64_MAX: nobody holds */
    lane_free_f *free_record;
};

struct lanes *lanes_new(lane_free_f *free_record)
{
    struct lanes *lanes = xcalloc(1, sizeof *lanes);
    lanes->free_record = free_record;
    lanes->floor_ms = INT64_MAX;
    lanes->clock_ms = INT64_MIN;
    lanes->now_ms = BEHIND_MS; /* 0 is long ago */
    return lanes;
}

void lanes_free(struct lanes **slot)
{
    struct lanes *lanes = *slot;
    *slot = NULL;
    if (!lanes)
        return;
    for (size_t i = 0; i < lanes->n_all; i++) {
        lane_drop(lanes, lanes->all[i]);
        free(lanes->all[i]->records);
        free(lanes->all[i]);
    }
    free(lanes->all);
    free(lanes);
}

struct lane *lanes_add(struct lanes *lanes, struct partition *partition)
{
    struct lane *lane = xcalloc(1, sizeof *lane);
    lane->partition = partition;
    lane->slice = 1;
    GROW(lanes->all, lanes->all_cap, lanes->n_all + 1);
    lanes->all[lanes->n_all++] = lane;
    return lane;
}

/* ---- one queue ---- */

static void make_room(struct lane *lane)
{
    size_t cap = lane->cap ? 2 * lane->cap : ROOM_FIRST;
    void **records = xcalloc(cap, sizeof *records);
    for (size_t i = 0; i < lane->n; i++)
        records[i] = lane->records[(lane->head + i) & (lane->cap - 1)];
    free(lane->records);
    lane->records = records;
    lane->cap = cap;
    lane->head = 0;
}

void lane_push(struct lanes *lanes, struct lane *lane, void *record, size_t bytes)
{
    if (lane->n == lane->cap)
        make_room(lane);
    lane->records[(lane->head + lane->n++) & (lane->cap - 1)] = record;
    lane->bytes += bytes;
    lanes->bytes += bytes;
    lanes->records++;
}

void *lane_pop(struct lanes *lanes, struct lane *lane, size_t bytes)
{
    if (lane->n == 0)
        return NULL;
    ensure(bytes <= lane->bytes);
    void *record = lane->records[lane->head];
    lane->head = (lane->head + 1) & (lane->cap - 1);
    lane->n--;
    lane->bytes -= bytes;
    lanes->bytes -= bytes;
    lanes->records--;
    return record;
}

const void *lane_peek(const struct lane *lane)
{
    return lane->n ? lane->records[lane->head] : NULL;
}

/* The room goes too: after a catch-up nothing is left of it. */
void lane_drop(struct lanes *lanes, struct lane *lane)
{
    for (size_t i = 0; i < lane->n; i++)
        lanes->free_record(lane->records[(lane->head + i) & (lane->cap - 1)]);
    lanes->bytes -= lane->bytes;
    lanes->records -= lane->n;
    free(lane->records);
    lane->records = NULL;
    lane->cap = lane->head = lane->n = lane->bytes = 0;
}

size_t lane_records(const struct lane *lane)
{
    return lane->n;
}

struct partition *lane_partition(const struct lane *lane)
{
    return lane->partition;
}

size_t lanes_bytes(const struct lanes *lanes)
{
    return lanes->bytes;
}

size_t lanes_records(const struct lanes *lanes)
{
    return lanes->records;
}

/* ---- the order ---- */

/* How many records will span a slice, when they go on as the last ones did. It grows slowly: what
 * follows dense events may be sparse. */
static void learn_slice(struct lane *lane)
{
    int64_t newest_ms = lane->partition->newest_ms;
    size_t taken = lane->taken;
    lane->taken = 0;
    if (!taken || lane->taken_from_ms == INT64_MIN)
        return;
    int64_t went = newest_ms - lane->taken_from_ms;
    lane->stride_ms = went / (int64_t)taken;
    double fits = went > 0 ? (double)taken * (double)LANES_SLICE_MS / (double)went : SLICE_MOST;
    double most = 2.0 * (double)lane->slice;
    double slice = fits < most ? fits : most;
    lane->slice = slice < 1 ? 1 : slice > SLICE_MOST ? SLICE_MOST : (size_t)slice;
}

static void look(struct lane *lane, int64_t now_ms)
{
    const struct partition *p = lane->partition;
    if (!lane->begun || p->newest_ms != lane->newest_ms) {
        lane->newest_ms = p->newest_ms;
        lane->moved_ms = now_ms;
    }
    if (!lane->begun)
        lane->began_ms = now_ms;
    lane->begun = true;
    lane->served = false;
    learn_slice(lane);
}

static bool holds(const struct lane *lane, int64_t now_ms)
{
    const struct partition *p = lane->partition;
    if (!(p->reading || p->suspended || lane->n) || now_ms - p->at_end_ms < BEHIND_MS)
        return false;
    if (p->newest_ms == INT64_MIN)
        return now_ms - lane->began_ms < UNKNOWN_MS;
    return now_ms - lane->moved_ms < STUCK_MS;
}

static void tick(struct lanes *lanes, int64_t clock_ms)
{
    int64_t passed = lanes->clock_ms == INT64_MIN ? 0 : clock_ms - lanes->clock_ms;
    lanes->clock_ms = clock_ms;
    if (passed > 0)
        lanes->now_ms += passed < ROUND_MS ? passed : ROUND_MS;
}

void lanes_begin(struct lanes *lanes, int64_t clock_ms)
{
    tick(lanes, clock_ms);
    lanes->floor_ms = INT64_MAX;
    for (size_t i = 0; i < lanes->n_all; i++) {
        struct lane *lane = lanes->all[i];
        look(lane, lanes->now_ms);
        if (holds(lane, lanes->now_ms) && lane->partition->newest_ms < lanes->floor_ms)
            lanes->floor_ms = lane->partition->newest_ms;
    }
}

int64_t lanes_now_ms(const struct lanes *lanes)
{
    return lanes->now_ms;
}

bool lanes_held(const struct lanes *lanes)
{
    return lanes->floor_ms != INT64_MAX;
}

/* How far what is taken next will go: one record at least. */
static int64_t next_span_ms(const struct lane *lane)
{
    int64_t span = lane->stride_ms > LANES_SLICE_MS ? lane->stride_ms : LANES_SLICE_MS;
    return span < LANES_AHEAD_MS ? span : LANES_AHEAD_MS;
}

bool lanes_may_go(const struct lanes *lanes, const struct lane *lane, int64_t margin_ms)
{
    int64_t newest = lane->partition->newest_ms, floor = lanes->floor_ms;
    if (floor == INT64_MAX || newest == INT64_MIN || newest <= floor)
        return true;
    if (floor == INT64_MIN)
        return false;
    int64_t ahead = LANES_AHEAD_MS - next_span_ms(lane) - margin_ms;
    return ahead >= 0 && (uint64_t)newest - (uint64_t)floor <= (uint64_t)ahead;
}

/* Few partitions are asked often, so the lowest is looked for and not kept sorted. */
static struct lane *lowest(const struct lanes *lanes)
{
    struct lane *best = NULL;
    for (size_t i = 0; i < lanes->n_all; i++) {
        struct lane *lane = lanes->all[i];
        if (lane->n && !lane->served && lanes_may_go(lanes, lane, 0) &&
            (!best || lane->partition->newest_ms < best->partition->newest_ms))
            best = lane;
    }
    return best;
}

/* All in turn, also from round to round. */
static struct lane *following(struct lanes *lanes)
{
    for (size_t k = 0; k < lanes->n_all; k++) {
        struct lane *lane = lanes->all[(lanes->at + k) % lanes->n_all];
        if (lane->n && !lane->served) {
            lanes->at = (lanes->at + k + 1) % lanes->n_all;
            return lane;
        }
    }
    return NULL;
}

bool lanes_may_take(const struct lanes *lanes)
{
    return lanes_held(lanes) ? lowest(lanes) != NULL : lanes->records > 0;
}

struct lane *lanes_next(struct lanes *lanes, size_t max, size_t *n)
{
    struct lane *lane = lanes_held(lanes) ? lowest(lanes) : following(lanes);
    if (!lane)
        return NULL;
    size_t most = lanes_held(lanes) && lane->slice < max ? lane->slice : max;
    lane->served = true;
    *n = lane->n < most ? lane->n : most;
    lane->taken = *n;
    lane->taken_from_ms = lane->partition->newest_ms;
    return lane;
}

struct lane *lanes_furthest(struct lanes *lanes)
{
    struct lane *furthest = NULL;
    for (size_t i = 0; i < lanes->n_all; i++) {
        struct lane *lane = lanes->all[i];
        if (lane->n && !lanes_may_go(lanes, lane, 0) &&
            (!furthest || lane->partition->newest_ms > furthest->partition->newest_ms))
            furthest = lane;
    }
    return furthest;
}

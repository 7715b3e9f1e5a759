/* Inside reading: shared by snapshot.c and moment.c (what a snapshot holds), plan.c, parts.c,
 * fetch.c, cursors.c and pieces.c (series and their cells), presence.c and listing.c (metadata).
 * Nobody else includes it. */
#ifndef STORE_SNAPSHOT_PRIV_H
#define STORE_SNAPSHOT_PRIV_H

#include "store/read.h"
#include "store/store_priv.h"

/* One run of cells, oldest commit first. */
struct part {
    struct head_part *head; /* of an open or frozen block, or of what was pending; or */
    const struct segment_chunk *piece;
    struct slice *pages; /* its pages, once fetched, in the order of segment_chunk_pages */
    uint32_t at;         /* of the segment in the snapshot */
    const struct merge_range *without; /* deleted, and not rewritten yet */
    size_t n_without;
    bool whole; /* its aggregate is enough: no page of it is read */
    struct part *next;
};

/* A part with its place in time; those of a series that meet are decoded together. */
struct piece {
    struct part *part;
    uint32_t number; /* of the part, in the order of commits */
    bool whole;
    int64_t from, to;
    struct segment_aggregate aggregate; /* whole */
};

struct planned {
    uint32_t id;
    struct labels labels;
    const struct metric_def *def;
    int64_t from, to;
    int64_t resolution_ms; /* 0: raw */
    bool wanted;
    bool pieced;          /* plan_aggregates */
    bool finest;          /* plan_level: raw cells, and the finest kept ones where those are gone */
    struct piece *pieces; /* by time */
    size_t n_pieces;
    struct part *parts, **last;
    struct planned *opening; /* the sum up to its `to` is wanted; NULL: it is not */
    bool is_opening;
    int128 sum; /* of an opening: what whole chunks come to; parts are the rest */
};

struct plan {
    struct snapshot *snapshot;
    struct planned *series;
    size_t n;
    const struct matcher **matchers; /* borrowed until the moment; NULL: its series were given */
    size_t n_matchers;
    size_t known;        /* series with ids below it were selected from */
    uint64_t removals;   /* of the catalogue then */
    uint64_t max_series; /* 0: no limit */
    struct plan *next;
};

/* What was read of a segment. */
struct seen_segment {
    struct slice *pages;  /* by page, unpacked; NULL: none was needed yet */
    bool *wanted;         /* by page: it is to be read */
    uint32_t n_wanted;    /* how many are */
    uint32_t first, last; /* all of these lie there */
    bool failed;          /* it could not be read, and a partial answer was asked for */
};

struct snapshot {
    struct store *store;
    struct arena arena;
    struct plan *plans, **last;
    const atomic_bool *cancel;

    /* What it saw in its moment. */
    uint64_t lsn;
    struct change_point point;
    struct progress *progress; /* counted */
    struct attached *segments; /* counted */
    struct seen_segment *seen;
    size_t n_segments;
    struct quarantined *quarantined;
    size_t n_quarantined;
    int64_t newest_ms;          /* from which ages count */
    struct head_block **blocks; /* counted: the frozen one, then the open ones */
    size_t n_blocks;
    struct block_view **views; /* of these, until their tails are taken */
    size_t n_views;
    struct deletion_list deletions;
    struct seen_pending {
        struct pending *pending; /* counted */
        size_t at;
    } * pending;
    size_t n_pending;
    struct head overlay; /* the cells of planned series that were pending */

    uint64_t cells, bytes;
    struct read_warning *warnings;
    size_t n_warnings, warnings_cap;
    unsigned pin; /* label strings stay while it is held */
    bool settled; /* its moment has come: what it saw is noted */
    bool early;   /* the log was not back then: store/log_replay.h */
    struct early_views later;
    int64_t patience_ms;
    bool failed; /* series that came meanwhile could not be added: */
    struct err failure;
    bool partial, fetched;
};

/* False, with ERR_LIMIT. */
bool snapshot_full(struct err *err);
/* ERR_CANCELED when the caller of the fetch wants it to stop. */
bool snapshot_go_on(const struct snapshot *snapshot, struct err *err);

/* The query's matchers and the scope's, in the arena; NULL: it is full. */
const struct matcher **matchers_of(struct arena *arena, const struct scope *scope,
    const struct matcher *matchers, size_t n, size_t *n_all);
/* A plan of the series with these ids; dead ones are left out. */
bool plan_of(
    struct snapshot *snapshot, const uint32_t *ids, size_t n, struct plan **out, struct err *err);
/* Takes all wanted series' parts of the head, then adds those of segments. */
bool plans_take_parts(struct snapshot *snapshot, struct err *err);
/* Reads the pages that all planned series need. */
bool plans_fetch(struct snapshot *snapshot, struct err *err);
/* Its moment is now, unless it was before. */
void snapshot_settle(struct snapshot *snapshot);
/* ERR_LIMIT when a plan of so many series is too large. */
bool plan_check_series(const struct plan *plan, size_t n, struct err *err);
struct planned planned_of(const struct catalog_entry *entry);
/* Lets the writer change what it has noted of the head. */
void snapshot_unview(struct snapshot *snapshot);

/* ---- one series ---- */

/* Adds the parts that lie in segments, which were committed before the head: in front of the
 * others. */
bool planned_take_segments(struct snapshot *snapshot, struct planned *series, struct err *err);
/* Reads the pages of its parts into the arena; those that were read before stay where they are. */
bool planned_fetch(
    struct snapshot *snapshot, struct planned *series, struct arena *arena, struct err *err);
/* Which of its parts stand alone, and their aggregates, once it has all of them. */
bool planned_find_pieces(struct snapshot *snapshot, struct planned *series, struct err *err);
/* Its cells, as plan_columns gives them. */
bool planned_columns(const struct snapshot *snapshot, const struct planned *series,
    struct arena *arena, struct columns *out, struct err *err);
/* Makes a part, behind the others of its series; NULL at the arena's limit. */
struct part *part_add(struct snapshot *snapshot, struct planned *series);
/* What a chunk counts in the budget: its bytes, and those of the chunks that it is a difference to,
 * which are unpacked for it. */
uint64_t part_bytes(const struct segment_chunk *chunk);
/* After an error of a segment: true when the answer goes on without it. */
bool snapshot_without(struct snapshot *snapshot, size_t segment, const struct err *why);
/* As above, of cells in (from, to]. */
bool snapshot_lacks(struct snapshot *snapshot, int64_t from, int64_t to, const struct err *why);

#endif

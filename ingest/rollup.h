/*
 * A rollup turns events into the cells of one metric. This is its definition, made from larder.yml
 * and immutable; rollup_run.h executes it.
 */
#ifndef INGEST_ROLLUP_H
#define INGEST_ROLLUP_H

#include <stdatomic.h>

#include "base/checksum.h"
#include "ingest/contract.h"
#include "ingest/expr.h"
#include "ingest/registry/registry.h"
#include "store/cell.h"

#define ROLLUP_LABELS_MAX 16

/* Where a label's value comes from. The last four are of rollups of lifecycles. */
enum label_from { LABEL_EXPR, LABEL_FIRST, LABEL_OUTCOME, LABEL_STEP_FROM, LABEL_STEP_TO };

struct rollup_label {
    struct slice name;
    enum label_from from;
    const struct expr *value; /* string, number or boolean; absent: the label is left out */
    int first;                /* LABEL_FIRST: which of the lifecycle's labels */
};

/* When a rollup has a cell: at every event of its stream; of a lifecycle at a stage, at every step
 * from one stage to the next, at the end of a life; or from its first to its end. */
enum rollup_at { ROLLUP_AT_EVENT, ROLLUP_AT_STAGE, ROLLUP_AT_STEP, ROLLUP_AT_END, ROLLUP_AT_OPEN };

/* Windows before the rollup's own, for which there is no definition: there was no such rollup then;
 * or there was one, and its definition is not kept any more, or makes no sense with the fields of
 * now. */
enum gap { GAP_ABSENT, GAP_FORGOTTEN, GAPS };
#define ROLLUP_GAPS_MAX 9

struct rollup_gap {
    int64_t after_ms, until_ms; /* windows with an end in (after_ms, until_ms] */
    enum gap reason;
};

/* Which windows are a rollup's: generations.h. */
struct rollup_term {
    int64_t after_ms, until_ms;
    struct rollup_gap gaps[ROLLUP_GAPS_MAX];
    size_t n_gaps;
    _Atomic uint64_t left_out[GAPS]; /* events that fell into gaps */
};

struct rollup {
    struct metric_def def; /* name, kind, digits of value, every, stale_after, schema, help, unit,
                              clock = stream */
    int stream;            /* index in struct streams; -1: it is of a lifecycle */
    int lifecycle;         /* index likewise; -1: it is of a stream */
    enum rollup_at at;
    int stage;                                     /* ROLLUP_AT_STAGE */
    bool needs_outcome;                            /* it is among the labels */
    const struct expr *when;                       /* NULL: every event */
    const struct expr *value;                      /* NULL for a counter: 1 */
    struct rollup_label labels[ROLLUP_LABELS_MAX]; /* sorted by name */
    size_t n_labels;
    struct slice text;        /* its definition, and what of it decides which cells there are: */
    struct hash128 meaning;   /* rollup_text.h */
    uint32_t former;          /* the generation that it was; 0: it is the config's */
    struct rollup_term *term; /* NULL: all windows are its */
};

static inline bool rollup_has_window(const struct rollup *rollup, int64_t end_ms)
{
    const struct rollup_term *term = rollup->term;
    return !term || (end_ms > term->after_ms && end_ms <= term->until_ms);
}

/* Counts an event of a window that is not the rollup's, if it is of a gap. */
void rollup_leave_out(const struct rollup *rollup, int64_t end_ms);

enum stream_format { FORMAT_JSON, FORMAT_AVRO };

/* Where a topic begins that was never read. */
enum stream_start { START_EARLIEST, START_LATEST, START_TIME };

struct stream {
    struct slice name;
    const struct slice *topics; /* names, or patterns: see topic_is_pattern */
    size_t n_topics;            /* the retry topic among them, as the last */
    struct slice retry;         /* records that were refused come again there; "": nowhere */
    struct slice dead_letters;  /* where refused records go; "": they are only counted */
    uint64_t outbox_bytes;      /* of letters that are not sent yet */
    enum stream_start start;
    int64_t start_ms;       /* START_TIME: at the first record that is not older */
    bool skip_out_of_range; /* what is gone before it was read is left out, else its partition halts
                             */
    enum stream_format format;
    enum framing framing;       /* of Avro */
    struct slice reader_schema; /* its text, checked; "": as each message was written */
    struct contract contract;
    struct slice horizon_clock; /* "orders/horizon" (horizon.h) */
    int64_t watermark_bound_ms; /* the watermark stands this far behind the slowest partition */
    int64_t exemplars_ms;       /* how long exemplars are kept behind the horizon; 0: none are */
    int64_t idle_after_ms; /* a partition at its end and quiet this long does not hold the clocks */
};

/* "^orders\\..*": a regular expression of RE2 that whole names must match. */
static inline bool topic_is_pattern(struct slice topic)
{
    return topic.len > 0 && topic.ptr[0] == '^';
}

/* All streams and rollups of a config. Immutable; owned by the config that made it. */
struct streams {
    const struct stream *streams;
    size_t n_streams;
    const struct lifecycle *lifecycles;
    size_t n_lifecycles;
    const struct rollup *rollups;
    size_t n_rollups;
    size_t n_former; /* of them, the last ones: former generations, which late events go by */
    const struct registry_options *registry; /* NULL: none; then no stream is Avro */
};

#endif

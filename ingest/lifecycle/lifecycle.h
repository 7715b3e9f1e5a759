/*
 * A lifecycle joins the events of one entity, of any number of streams: which stage each of them
 * reaches, which stages end a life, and how long one may last. Immutable; owned by the config.
 */
#ifndef INGEST_LIFECYCLE_LIFECYCLE_H
#define INGEST_LIFECYCLE_LIFECYCLE_H

#include "ingest/contract.h"
#include "ingest/expr.h"
#include "ingest/lifecycle/facts.h"

#define LIFECYCLES_MAX         16
#define LIFECYCLE_LABELS_MAX   16
#define LIFECYCLE_NAME_MAX     40 /* bytes: it is part of the names of state tables */
#define LIFECYCLE_EXPIRED_TEXT "expired"

struct lifecycle_stage {
    struct slice name;
    int stream; /* index in struct streams */
    const struct expr
        *when;    /* over the stream's fields: an event that meets it reaches the stage */
    int key;      /* the field of the stream that names the entity */
    int revision; /* likewise; -1: its events have none */
    int captures[CAPTURES_MAX]; /* fields that some rollup needs */
    uint8_t n_captures;
};

struct lifecycle {
    struct slice name;                         /* also of its clock: the slowest of its streams */
    struct slice cohort_clock;                 /* the same, less expire: "order/cohort" */
    struct lifecycle_stage stages[STAGES_MAX]; /* as declared: a life begins with the first */
    struct life_rules rules;
    struct fact_layout layout;
    int64_t late_ms; /* the greatest of its streams */
    /* Fields of the first stage's stream that are labels of some rollup. */
    int labels[LIFECYCLE_LABELS_MAX];
    size_t n_labels;
    /* What expressions of its rollups see as an event: the times of its stages, then what was
     * captured: field i is captured `capture` of stage `stage`. */
    struct contract view;
    struct {
        uint8_t stage, capture;
    } captured[FIELDS_MAX];
};

/* Fills an event of lifecycle->view with a life. */
void life_view(const struct lifecycle *lifecycle, const struct life *life, struct event *out);

#endif

/*
 * The selectors of a query. All of them are planned before anything is read, each with the times
 * that it can be asked for, so that one snapshot and one fetch serve the whole query:
 *
 *     selections_plan    walks the tree; a plan per different selector, a range of time per series
 *     snapshot_fetch     (engine.c)
 *     selections_find    during evaluation: the plan of a selector
 *
 * Selectors with equal matchers share a plan; its ranges cover both.
 */
#ifndef QUERY_SELECT_H
#define QUERY_SELECT_H

#include "query/function.h"
#include "query/vector.h"
#include "query/when.h"
#include "store/read.h"

struct selection {
    const struct node *node; /* NODE_SELECTOR */
    struct plan *plan;
    struct moment when;
    int64_t range_ms; /* 0: an instant vector */
    bool counts_only; /* only count and sum of its histograms are used */
};

struct selections {
    struct snapshot *snapshot;
    struct selection *items;
    size_t n, cap;
    size_t found;    /* place of the last one looked for */
    uint64_t series; /* matched, each plan once */
    uint64_t cells;  /* read so far */
};

/* Errors: of the store's plans; of durations. */
bool selections_plan(struct eval *eval, struct snapshot *snapshot, const struct node *root,
    struct selections *out, struct err *err);
struct selection *selections_find(struct selections *selections, const struct node *node);

/* A vector selector at every step; with timestamps, the times of the points in seconds instead of
 * the points. */
bool eval_selector(struct eval *eval, const struct node *node, bool timestamps, struct vector *out,
    struct err *err);

/* Functions that see the windows of a counter or histogram instead of C. */
bool function_sees_windows(enum function_id id);

/* The labels of absent(arg): those that the selector wants to be equal to one value. */
bool absent_labels(struct eval *eval, const struct node *arg, struct labels *out, struct err *err);

#endif

/*
 * A store for tests of what is set aside: days of cells, segments that are damaged or that the disk
 * does not give, and questions whose answers are a sum, or an error.
 *
 * The program's reads go through a pread of this file's own.
 */
#ifndef TESTS_STORE_SUPPORT_ASIDE_H
#define TESTS_STORE_SUPPORT_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/files.h"
#include "store/store.h"

#define ASIDE_BLOCK INT64_C(7200000)
#define ASIDE_EVERY INT64_C(600000)
#define ASIDE_HOUR  INT64_C(3600000)
#define ASIDE_DAY   INT64_C(86400000)

struct aside {
    char dir[64];
    struct store *store;
    struct store_options options;
};

/* For cmocka: a store in a folder of its own, and its end. */
int aside_setup(void **state);
int aside_teardown(void **state);
/* Opens the store anew, with the options as they are now. */
void aside_reopen(struct aside *f);
void aside_maintain(struct aside *f, int64_t passed);
/* Steps, however they end. */
void aside_steps(struct aside *f, int64_t passed, int n);
struct store_stats aside_stats(struct aside *f);

/* ---- cells ---- */

/* `series` of a metric, a="000" and so on from the first: a cell every so often in (from, to]. */
struct aside_cells {
    const char *metric;
    enum kind kind;
    int64_t every; /* 0: ASIDE_EVERY */
    int first, series;
    int64_t from, to;
    bool noisy; /* values that compress badly, so that series have pages of their own; else ones */
};
void aside_write(struct aside *f, const struct aside_cells *cells);
/* What they come to in (from, to]. */
int64_t aside_total(const struct aside_cells *cells, int64_t from, int64_t to);
/* A counter "m_total" and a level "open": ones, every ten minutes. */
void aside_fill(struct aside *f, int64_t from, int64_t to);
/* Deletes cells in (from, to] of the series with that a; NULL: of all the metric's. */
uint64_t aside_delete(struct aside *f, const char *metric, const char *a, int64_t from, int64_t to);

/* ---- segments ---- */

/* One of the store's. resolution < 0: any; length 0: any. */
struct aside_which {
    int64_t t0, length, resolution;
};
/* The name of the last one; false: there is none. */
bool aside_find(struct aside *f, const struct aside_which *which, char name[SEGMENT_NAME_MAX]);
/* Closes the store and flips a bit: of the footer, or, with `page`, a quarter into the file. */
void aside_damage(struct aside *f, const char *name, bool page);
/* As above, of the one that is found, whose name is given, and opens the store anew. */
void aside_set_aside(struct aside *f, const struct aside_which *which, char name[SEGMENT_NAME_MAX]);
/* Reads of files with this in their path fail, until it is NULL. */
void aside_unreadable(const char *name);
/* larder verify --repair, of a store that is closed; how many files were repaired. */
uint64_t aside_repair(struct aside *f);
bool aside_has_file(const struct aside *f, const char *name);

/* ---- questions ---- */

/* How many series of the metric have cells; -1: an error, which names the segment. */
int aside_listed(struct aside *f, const char *metric, int64_t from, int64_t to, const char *name);

struct aside_answer {
    bool failed;
    char text[ERR_TEXT_MAX + ERR_FILE_MAX]; /* the error, or what a partial answer lacks */
    int series;                             /* with cells */
    int64_t cells, sum;
    double first; /* the first sample */
};
struct aside_question {
    const char *metric;
    int64_t from, to, resolution;
    bool opening; /* the sum of what they stand at, at `to` */
    bool partial;
};
struct aside_answer aside_ask(struct aside *f, const struct aside_question *q);
/* The sum of the metric in (0, to]; -1: an error, which names the segment. */
int64_t aside_sum(struct aside *f, const char *metric, int64_t resolution, const char *name);
int64_t aside_opening(struct aside *f, const char *metric, int64_t at, const char *name);

#endif

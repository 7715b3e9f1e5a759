/*
 * Promqltest scripts: text files that load series and say what queries over them must give.
 *
 *     load 5m                                            series at 0, 5m, 10m ...; loads add up
 *       metric{a="b"} 1+1x10
 *     eval instant at 10m sum(metric)
 *       expect no_warn
 *       {} 3
 *     eval range from 0 to 10m step 5m metric
 *       metric{a="b"} 1 2 3
 *     clear
 *
 * Lines are trimmed, # begins a comment line, a blank line ends a block. This file reads them;
 * script_run.h runs them.
 */
#ifndef QUERY_SCRIPT_H
#define QUERY_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/regex.h"
#include "query/script_series.h"

enum script_type { SCRIPT_CLEAR, SCRIPT_LOAD, SCRIPT_EVAL };

struct script_load {
    int64_t gap_ms;
    bool custom_buckets;  /* load_with_nhcb: classic histograms also as native ones */
    int start_times_line; /* of the first line with start timestamps (@st); 0: none */
    struct script_series *series;
    size_t n, cap;
};

/* What a text must be or match; both unset: anything. */
struct script_match {
    struct slice text;
    struct regex *regex;
    bool exact; /* text must be it */
};

enum script_note { NOTE_FAIL, NOTE_WARN, NOTE_NO_WARN, NOTE_INFO, NOTE_NO_INFO, NOTE_KINDS };

struct script_notes {
    struct script_match *items;
    size_t n, cap;
};

enum script_expect { EXPECT_SERIES, EXPECT_SCALAR, EXPECT_STRING };

struct script_eval {
    struct slice expr;
    bool is_range;
    int64_t start_ms, end_ms, step_ms; /* of the query; instant: start_ms == end_ms */
    bool ordered;
    struct script_notes notes[NOTE_KINDS];
    enum script_expect expect;
    struct script_series *series; /* in the order of the lines */
    size_t n, cap;
    bool range_vector; /* series stand at from, from + step ... to */
    int64_t from_ms, to_ms, range_step_ms;
    double scalar;
    struct slice string;
};

struct script_command {
    enum script_type type;
    int line;
    union {
        struct script_load load;
        struct script_eval eval;
    } u;
};

struct script {
    struct script_command *commands;
    size_t n, cap;
    struct regex **regexes; /* of expectations; owned */
    size_t n_regexes, regexes_cap;
};

/* Reads a whole script. Everything but the regexes lies in the arena or in the text, which must
 * stay. The error has the line. Texts of queries are not parsed here. */
bool script_parse(struct slice text, struct arena *arena, struct script *out, struct err *err);
void script_free(struct script *script);

#endif

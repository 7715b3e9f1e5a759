/*
 * An evaluation without a store, for tests of what works on vectors: an arena, options, a parsed
 * query whose operators are called by hand, and vectors made from text.
 *
 *     "x{a=1} 1 2 _ 4"      labels without quotes, then values: _ absent, H0.. a histogram
 */
#ifndef TESTS_QUERY_VECTOR_FIXTURE_H
#define TESTS_QUERY_VECTOR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/number.h"
#include "query/histogram_stat.h"
#include "query/label_set.h"
#include "query/parse.h"
#include "query/vector.h"

struct fixture {
    struct arena arena;
    struct engine_options options;
    struct query query;
    struct eval eval;
    struct ast ast;
    struct err err;
    struct buf text;
    const struct hist *hist[4]; /* H0, H1, ... of the vectors' texts */
};

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    arena_init(&f->arena, 8u << 20);
    buf_init(&f->text, 1u << 20);
    f->options.delayed_name_removal = true;
    f->eval = (struct eval){.options = &f->options,
        .query = &f->query,
        .arena = &f->arena,
        .start_ms = 0,
        .step_ms = 1000,
        .n_steps = 1};
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    ast_free(&f->ast);
    arena_fini(&f->arena);
    buf_fini(&f->text);
    free(f);
    return 0;
}

/* The root of the parsed text; a query with n_steps. */
static inline const struct node *fixture_query(struct fixture *f, const char *text, size_t n_steps)
{
    ast_free(&f->ast);
    f->ast = (struct ast){0};
    if (!parse_query(slice_from(text), &f->arena, &f->ast, &f->err))
        fail_msg("%s: %s", text, f->err.text);
    f->eval.text = f->ast.text;
    f->eval.n_steps = n_steps;
    f->eval.notes = (struct notes){0};
    f->eval.warnings_cap = f->eval.infos_cap = 0;
    f->err = (struct err){0};
    return f->ast.root;
}

static inline void fixture_labels(struct fixture *f, char *text, struct labels *out)
{
    *out = (struct labels){NULL, 0};
    char *brace = strchr(text, '{');
    if (brace)
        *brace = 0;
    if (*text)
        labels_with(&f->arena, *out, slice_from(LABEL_METRIC_NAME),
            arena_slice(&f->arena, slice_from(text)), out);
    for (char *save, *pair = brace ? strtok_r(brace + 1, ",}", &save) : NULL; pair;
         pair = strtok_r(NULL, ",}", &save)) {
        char *eq = strchr(pair, '=');
        *eq = 0;
        labels_with(&f->arena, *out, arena_slice(&f->arena, slice_from(pair)),
            arena_slice(&f->arena, slice_from(eq + 1)), out);
    }
}

/* Texts of series, up to NULL. */
static inline struct vector fixture_vector(struct fixture *f, const char *first, ...)
{
    const char *texts[16];
    size_t n = 0;
    va_list ap;
    va_start(ap, first);
    for (const char *t = first; t && n < 16; t = va_arg(ap, const char *))
        texts[n++] = t;
    va_end(ap);
    struct vector x;
    assert_true(vector_new(&f->eval, n, f->eval.n_steps, f->hist[0] != NULL, &x, &f->err));
    for (size_t s = 0; s < n; s++) {
        char line[512], *save;
        snprintf(line, sizeof line, "%s", texts[s]);
        char *word = strtok_r(line, " ", &save);
        char head[256];
        snprintf(head, sizeof head, "%s", word);
        for (size_t k = 0; k < f->eval.n_steps; k++) {
            size_t i = s * f->eval.n_steps + k;
            word = strtok_r(NULL, " ", &save);
            assert_non_null(word);
            x.present[i] = strcmp(word, "_") != 0;
            x.v[i] = *word == 'H' ? 0 : strtod(word, NULL);
            if (*word == 'H')
                x.h[i] = f->hist[word[1] - '0'];
        }
        fixture_labels(f, head, &x.labels[s]);
    }
    return x;
}

/* A scalar with a value per step, or one for all. */
static inline struct vector fixture_scalar(struct fixture *f, double v)
{
    struct vector x;
    assert_true(vector_new(&f->eval, 1, 1, false, &x, &f->err));
    x.type = VALUE_SCALAR;
    x.invariant = true;
    x.present[0] = true;
    x.v[0] = v;
    return x;
}

static inline struct vector fixture_string(const char *text)
{
    return (struct vector){.type = VALUE_STRING, .string = slice_from(text)};
}

/* "{__name__="x", a="1"} 1 2 _ 4", a line per series that has a value; a mark ! behind labels whose
 * name is to go. */
static inline const char *fixture_text(struct fixture *f, const struct vector *x)
{
    buf_clear(&f->text);
    for (size_t s = 0; s < x->n; s++) {
        if (!memchr(x->present + s * x->n_steps, true, x->n_steps))
            continue;
        if (f->text.len)
            buf_char(&f->text, '\n');
        labels_text(x->labels[s], &f->text);
        if (x->drop_name && x->drop_name[s])
            buf_char(&f->text, '!');
        for (size_t i = s * x->n_steps; i < (s + 1) * x->n_steps; i++) {
            char number[NUMBER_MAX];
            number_format_g(x->v[i], number);
            buf_char(&f->text, ' ');
            if (!x->present[i])
                buf_char(&f->text, '_');
            else if (vector_hist(x, i))
                hist_text(x->h[i], &f->text);
            else
                buf_str(&f->text, number);
        }
    }
    return buf_cstr(&f->text);
}

#define assert_vector(f, x, text) assert_string_equal(fixture_text(f, &(x)), text)

#endif

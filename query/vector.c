#include "query/vector.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "query/quote.h"

/*
 * The helpers that every part of the evaluation shares: making vectors within the query's budget,
 * annotations, errors of execution, cancellation.
 *
 * A point costs 9 bytes (float and flag), 17 when the vector can hold histograms. Both bounds are
 * checked before anything is taken from the arena: the number of points against max_samples, and
 * the bytes by the arena itself.
 */

#define MAX_SAMPLES_DEFAULT 50000000u
#define NOTES_MAX           256 /* of each kind; an answer shows ten */
#define NOTE_TEXT_MAX       1024

static bool take_samples(struct eval *eval, size_t n, size_t n_steps, struct err *err)
{
    uint64_t max = eval->options && eval->options->max_samples ? eval->options->max_samples
                                                               : MAX_SAMPLES_DEFAULT;
    if (n_steps == 0 || n == 0)
        return true;
    if (eval->samples > max || n > (max - eval->samples) / n_steps)
        return err_set(err, ERR_LIMIT,
            "query needs more memory than allowed: %zu series at %zu steps on top of %llu points, "
            "allowed are %llu points",
            n, n_steps, (unsigned long long)eval->samples, (unsigned long long)max);
    eval->samples += (uint64_t)n * n_steps;
    return true;
}

bool vector_new(struct eval *eval, size_t n, size_t n_steps, bool histograms, struct vector *out,
    struct err *err)
{
    *out = (struct vector){.type = VALUE_VECTOR, .n = n, .n_steps = n_steps};
    if (!take_samples(eval, n, n_steps, err))
        return false;
    size_t points = n * n_steps;
    out->labels = arena_array(eval->arena, n, sizeof *out->labels);
    out->v = arena_array(eval->arena, points, sizeof *out->v);
    out->present = arena_array(eval->arena, points, sizeof *out->present);
    if (!out->labels || !out->v || !out->present)
        return eval_no_memory(eval, err);
    memset(out->labels, 0, n * sizeof *out->labels);
    memset(out->present, 0, points * sizeof *out->present);
    if (histograms && points)
        memset(
            out->v, 0, points * sizeof *out->v); /* operators may read the float of a histogram */
    return !histograms || vector_histograms(eval, out, err);
}

bool vector_histograms(struct eval *eval, struct vector *x, struct err *err)
{
    if (x->h)
        return true;
    size_t points = x->n * x->n_steps;
    x->h = arena_array(eval->arena, points, sizeof *x->h);
    if (!x->h)
        return eval_no_memory(eval, err);
    memset(x->h, 0, points * sizeof *x->h);
    return true;
}

bool vector_drop_names(struct eval *eval, struct vector *x, struct err *err)
{
    if (x->drop_name)
        return true;
    x->drop_name = arena_zalloc(eval->arena, x->n * sizeof *x->drop_name);
    return x->drop_name ? true : eval_no_memory(eval, err);
}

size_t vector_steps(const struct eval *eval, const struct vector *a, const struct vector *b)
{
    return a->invariant && (!b || b->invariant) ? 1 : eval->n_steps;
}

/* ---- annotations ---- */

static void note_add(
    struct eval *eval, const char ***notes, size_t *n, size_t *cap, const char *text)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*notes)[i], text) == 0)
            return;
    if (*n >= NOTES_MAX)
        return;
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        const char **grown = arena_array(eval->arena, more, sizeof *grown);
        if (!grown)
            return;
        if (*n)
            memcpy(grown, *notes, *n * sizeof *grown);
        *notes = grown;
        *cap = more;
    }
    struct slice copy = arena_slice(eval->arena, slice_from(text));
    if (copy.ptr)
        (*notes)[(*n)++] = copy.ptr;
}

/* prefix, text and place in one string. What does not fit is cut: names come from the data. */
__attribute__((format(printf, 5, 0))) static void note_format(char *out, const struct eval *eval,
    const struct node *node, const char *prefix, const char *fmt, va_list ap)
{
    size_t at = (size_t)snprintf(out, NOTE_TEXT_MAX, "%s", prefix);
    int len = vsnprintf(out + at, NOTE_TEXT_MAX - at, fmt, ap);
    if (len < 0)
        return;
    at += (size_t)len;
    if (at >= NOTE_TEXT_MAX - 32)
        at = NOTE_TEXT_MAX - 32;
    if (!node)
        return;
    size_t line = 1, line_start = 0;
    for (size_t i = 0; i < node->start && i < eval->text.len; i++)
        if (eval->text.ptr[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    snprintf(out + at, NOTE_TEXT_MAX - at, " (%zu:%zu)", line, node->start - line_start + 1);
}

void eval_warn(struct eval *eval, const struct node *node, const char *fmt, ...)
{
    char text[NOTE_TEXT_MAX] = "";
    va_list ap;
    va_start(ap, fmt);
    note_format(text, eval, node, "PromQL warning: ", fmt, ap);
    va_end(ap);
    note_add(eval, &eval->notes.warnings, &eval->notes.n_warnings, &eval->warnings_cap, text);
}

void eval_info(struct eval *eval, const struct node *node, const char *fmt, ...)
{
    char text[NOTE_TEXT_MAX] = "";
    va_list ap;
    va_start(ap, fmt);
    note_format(text, eval, node, "PromQL info: ", fmt, ap);
    va_end(ap);
    note_add(eval, &eval->notes.infos, &eval->notes.n_infos, &eval->infos_cap, text);
}

/* "" when memory is out, as any note is lost then. */
const char *eval_quote(struct eval *eval, struct slice text)
{
    struct buf buf;
    buf_init(&buf, NOTE_TEXT_MAX / 2);
    quote_text(text, &buf);
    struct slice copy = arena_slice(eval->arena, buf_view(&buf));
    buf_fini(&buf);
    return copy.ptr ? copy.ptr : "";
}

void eval_warn_named(
    struct eval *eval, const struct node *node, struct labels labels, const char *text)
{
    eval_warn(
        eval, node, "%s%s", text, eval_quote(eval, labels_get(labels, SLICE(LABEL_METRIC_NAME))));
}

/* ---- errors ---- */

bool eval_fail(struct err *err, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(err, ERR_INVALID, "%s", text);
    if (err)
        err->sys = 1;
    return false;
}

bool eval_check(const struct eval *eval, struct err *err)
{
    const struct query *query = eval->query;
    if (!query)
        return true;
    if (query->cancel && atomic_load_explicit(query->cancel, memory_order_relaxed))
        return err_set(err, ERR_CANCELED, "query was canceled in query execution");
    if (query->deadline_ns && clock_mono_ns() > query->deadline_ns)
        return err_set(err, ERR_TIMEOUT, "query timed out in expression evaluation");
    return true;
}

#include "query/script_series.h"

#include "base/double_bits.h"
#include "query/histogram_math.h"
#include "query/lex.h"
#include "query/quote.h"
#include "query/script_histogram.h"
#include "query/script_scan.h"

struct reading {
    struct slice text;
    size_t at;
    struct arena *arena;
    struct script_series *out;
    struct err *err;
};

double script_stale_nan(void)
{
    return bits_double(STALE_BITS);
}

bool script_is_stale(double v)
{
    return double_bits(v) == STALE_BITS;
}

static bool fail(struct reading *r, const char *what)
{
    err_set(r->err, ERR_INVALID, "%s", what);
    return err_at(r->err, NULL, 0, (int)r->at + 1);
}

static bool full(struct reading *r)
{
    return err_set(r->err, ERR_LIMIT, "a script of this size needs too much memory");
}

/* ---- labels ---- */

struct label_list {
    struct label items[LABELS_MAX];
    size_t n;
};

static bool add_label(
    struct reading *r, struct label_list *list, struct slice name, struct slice value)
{
    if (list->n == LABELS_MAX)
        return fail(r, "too many labels");
    list->items[list->n++] = (struct label){name, value};
    return true;
}

static bool unexpected(struct reading *r, const struct lexer *lexer, const struct token *token)
{
    r->at = token->start;
    return fail(r, token->type == TOKEN_ERROR ? lexer->message : "expected name=\"value\"");
}

/* name="value", "name"="value" or "metric"; *token is the one behind it. */
static bool read_label(
    struct reading *r, struct lexer *lexer, struct token *token, struct label_list *list)
{
    struct token name = *token;
    bool quoted = name.type == TOKEN_STRING;
    if (name.type != TOKEN_IDENTIFIER && !quoted)
        return unexpected(r, lexer, token);
    struct slice text = quoted ? unquote_text(name.text, r->arena) : name.text;
    *token = lexer_next(lexer);
    if (quoted && token->type != TOKEN_EQL)
        return add_label(r, list, SLICE(LABEL_METRIC_NAME), text);
    if (token->type != TOKEN_EQL)
        return unexpected(r, lexer, token);
    *token = lexer_next(lexer);
    if (token->type != TOKEN_STRING)
        return unexpected(r, lexer, token);
    struct slice value = unquote_text(token->text, r->arena);
    *token = lexer_next(lexer);
    return text.ptr && value.ptr ? add_label(r, list, text, value) : full(r);
}

/* Up to the closing brace, behind which the lexer then stands: it never reads further. */
static bool read_braces(struct reading *r, struct lexer *lexer, struct label_list *list)
{
    lexer_next(lexer);
    struct token token = lexer_next(lexer);
    while (token.type != TOKEN_RIGHT_BRACE) {
        if (!read_label(r, lexer, &token, list))
            return false;
        if (token.type == TOKEN_COMMA)
            token = lexer_next(lexer);
        else if (token.type != TOKEN_RIGHT_BRACE)
            return unexpected(r, lexer, &token);
    }
    return true;
}

static bool read_labels(struct reading *r)
{
    struct lexer lexer;
    struct label_list list = {.n = 0};
    lexer_init(&lexer, r->text);
    if (r->text.len == 0 || r->text.ptr[0] != '{') {
        struct token name = lexer_next(&lexer);
        if (!token_is_metric(name.type))
            return unexpected(r, &lexer, &name);
        add_label(r, &list, SLICE(LABEL_METRIC_NAME), name.text);
    }
    if (lexer.at < r->text.len && r->text.ptr[lexer.at] == '{' && !read_braces(r, &lexer, &list))
        return false;
    r->at = lexer.at;
    if (!labels_sort(list.items, &list.n))
        return fail(r, "a label occurs twice");
    struct labels labels = {list.items, list.n};
    r->out->labels = labels_copy(r->arena, labels);
    return list.n == 0 || r->out->labels.items ? true : full(r);
}

/* ---- values ---- */

static bool push(struct reading *r, struct script_value value)
{
    struct script_series *s = r->out;
    if (s->n >= SCRIPT_VALUES_MAX)
        return fail(r, "too many values in one series");
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct script_value *more = arena_array(r->arena, cap, sizeof *more);
        if (!more)
            return full(r);
        if (s->n)
            memcpy(more, s->values, s->n * sizeof *more);
        s->values = more;
        s->cap = cap;
    }
    s->values[s->n++] = value;
    return true;
}

/* xN; *n stays as it is when there is none. */
static bool read_times(struct reading *r, uint64_t *n, bool *found)
{
    *found = scan_char(r->text, &r->at, 'x');
    if (!*found || scan_count(r->text, &r->at, SCRIPT_VALUES_MAX, n))
        return true;
    return fail(r, "expected a number of repetitions of at most 1000000");
}

static bool read_omitted(struct reading *r)
{
    uint64_t n = 1;
    bool found;
    if (!read_times(r, &n, &found))
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!push(r, (struct script_value){.omitted = true}))
            return false;
    return true;
}

static bool read_floats(struct reading *r, double v)
{
    uint64_t n = 0;
    double step = 0;
    bool found,
        stepped = r->at < r->text.len && (r->text.ptr[r->at] == '+' || r->text.ptr[r->at] == '-');
    if (stepped && !scan_signed(r->text, &r->at, &step))
        return fail(r, "expected a number behind the sign");
    if (!read_times(r, &n, &found))
        return false;
    if (stepped && !found)
        return fail(r, "expected x and a number of steps");
    /* The bits of a stale marker are those of a signalling NaN, which arithmetic would change, and
     * clang adds a zero where a step is conditional: no step, no sum. */
    for (uint64_t i = 0; i <= n && !stepped; i++)
        if (!push(r, (struct script_value){.v = v}))
            return false;
    for (uint64_t i = 0; i <= n && stepped; i++, v += step)
        if (!push(r, (struct script_value){.v = v}))
            return false;
    return true;
}

/* Each is the one before with the other added or taken away. */
static bool push_steps(struct reading *r, const struct hist *h, const struct hist *step, bool add,
    uint64_t n, bool hint_set)
{
    unsigned notes = 0;
    for (uint64_t i = 0;; i++) {
        if (!push(r, (struct script_value){.h = h, .hint_set = hint_set}))
            return false;
        if (i == n)
            return true;
        if (h->schema > step->schema)
            return fail(r, "cannot combine histograms: the schema falls");
        enum hist_status status = add ? hist_add(r->arena, h, step, &notes, &h)
                                      : hist_subtract(r->arena, h, step, &notes, &h);
        if (status != HIST_OK)
            return status == HIST_NO_MEMORY
                       ? full(r)
                       : fail(r, "cannot combine exponential with custom buckets");
    }
}

static bool read_histograms(struct reading *r)
{
    struct hist *h, *step = NULL;
    bool hint_set, found, add = false;
    uint64_t n = 0;
    if (!script_histogram_parse(r->text, &r->at, r->arena, &h, &hint_set, r->err))
        return false;
    if (scan_word(r->text, &r->at, "+{{") || scan_word(r->text, &r->at, "-{{")) {
        add = r->text.ptr[r->at - 3] == '+';
        r->at -= 2;
        if (!script_histogram_parse(r->text, &r->at, r->arena, &step, &hint_set, r->err))
            return false;
    }
    if (!read_times(r, &n, &found))
        return false;
    if (step)
        return found ? push_steps(r, h, step, add, n, hint_set)
                     : fail(r, "expected x and a number of steps");
    for (uint64_t i = 0; i <= n; i++)
        if (!push(r, (struct script_value){.h = h, .hint_set = hint_set}))
            return false;
    return true;
}

static bool read_item(struct reading *r)
{
    double v;
    if (scan_char(r->text, &r->at, '_'))
        return read_omitted(r);
    if (r->at + 1 < r->text.len && memcmp(r->text.ptr + r->at, "{{", 2) == 0)
        return read_histograms(r);
    if (scan_word(r->text, &r->at, "stale"))
        return read_floats(r, script_stale_nan());
    if (scan_signed(r->text, &r->at, &v))
        return read_floats(r, v);
    return fail(r, "expected a number, \"_\", \"stale\" or a histogram");
}

bool script_series_parse(
    struct slice text, struct arena *arena, struct script_series *out, struct err *err)
{
    struct reading r = {.text = text, .arena = arena, .out = out, .err = err};
    *out = (struct script_series){0};
    if (!read_labels(&r))
        return false;
    for (;;) {
        bool blank = scan_blanks(text, &r.at);
        if (r.at == text.len)
            return true;
        if (!blank)
            return fail(&r, "expected a blank");
        if (!read_item(&r))
            return false;
    }
}

#include "query/script.h"

#include <stdlib.h>

#include "base/mem.h"
#include "query/lex.h"
#include "query/parse.h"
#include "query/quote.h"
#include "query/script_scan.h"

struct reading {
    struct slice text; /* what is left */
    struct slice line; /* trimmed; a comment is empty */
    int number;
    struct arena *arena;
    struct script *out;
    struct err *err;
};

/* ---- lines and words ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* False: there are no more lines. */
static bool next_line(struct reading *r)
{
    if (r->text.len == 0)
        return false;
    const char *end = memchr(r->text.ptr, '\n', r->text.len);
    size_t len = end ? (size_t)(end - r->text.ptr) : r->text.len, used = end ? len + 1 : len;
    r->line = trim(slice_of(r->text.ptr, len));
    if (r->line.len > 0 && r->line.ptr[0] == '#')
        r->line.len = 0;
    r->text = slice_of(r->text.ptr + used, r->text.len - used);
    r->number++;
    return true;
}

/* The next line of a block; false: a blank line or the end. */
static bool next_in_block(struct reading *r)
{
    return next_line(r) && r->line.len > 0;
}

static struct slice take_word(struct slice *s)
{
    size_t len = 0;
    while (len < s->len && !is_blank(s->ptr[len]))
        len++;
    struct slice word = slice_of(s->ptr, len);
    *s = trim(slice_of(s->ptr + len, s->len - len));
    return word;
}

static bool take_keyword(struct slice *s, const char *keyword)
{
    struct slice rest = *s;
    if (!slice_is(take_word(&rest), keyword))
        return false;
    *s = rest;
    return true;
}

static bool fail(struct reading *r, const char *what)
{
    err_set(r->err, ERR_INVALID, "%s", what);
    return err_at(r->err, NULL, r->number, 0);
}

static bool full(struct reading *r)
{
    err_set(r->err, ERR_LIMIT, "a script of this size needs too much memory");
    return err_at(r->err, NULL, r->number, 0);
}

static bool take_duration(struct reading *r, struct slice *s, int64_t *ms)
{
    return parse_duration(take_word(s), ms, r->err) || err_at(r->err, NULL, r->number, 0);
}

/* Room for one more element of size bytes behind n; NULL: the arena is full. */
static void *grow(struct reading *r, void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap ? *cap * 2 : 8;
    void *fresh = arena_array(r->arena, more, size);
    if (fresh && n)
        memcpy(fresh, array, n * size);
    *cap = more;
    return fresh;
}

static bool take_series(struct reading *r, struct script_series **series, size_t *n, size_t *cap)
{
    *series = grow(r, *series, *n, cap, sizeof **series);
    if (!*series)
        return full(r);
    if (!script_series_parse(r->line, r->arena, &(*series)[*n], r->err))
        return err_at(r->err, NULL, r->number, r->err->col);
    ++*n;
    return true;
}

/* ---- load ---- */

/* metric{labels}@st: start timestamps of the series on the next line. */
static bool is_start_times(struct slice line)
{
    struct slice word = take_word(&line);
    return word.len >= 3 && memcmp(word.ptr + word.len - 3, "@st", 3) == 0;
}

static bool read_load(struct reading *r, struct script_load *load)
{
    struct slice rest = r->line, word = take_word(&rest);
    load->custom_buckets = slice_is(word, "load_with_nhcb");
    if (!load->custom_buckets && !slice_is(word, "load"))
        return fail(r, "invalid load command, expected load[_with_nhcb] STEP");
    if (!take_duration(r, &rest, &load->gap_ms))
        return false;
    if (rest.len > 0)
        return fail(r, "nothing may follow the step of a load command");
    while (next_in_block(r)) {
        if (is_start_times(r->line))
            load->start_times_line = load->start_times_line ? load->start_times_line : r->number;
        else if (!take_series(r, &load->series, &load->n, &load->cap))
            return false;
    }
    return true;
}

/* ---- expectations ---- */

static const char *const note_names[NOTE_KINDS] = {
    [NOTE_FAIL] = "fail",
    [NOTE_WARN] = "warn",
    [NOTE_NO_WARN] = "no_warn",
    [NOTE_INFO] = "info",
    [NOTE_NO_INFO] = "no_info",
};

static bool add_note(
    struct reading *r, struct script_eval *eval, enum script_note kind, struct script_match match)
{
    struct script_notes *notes = &eval->notes[kind];
    notes->items = grow(r, notes->items, notes->n, &notes->cap, sizeof *notes->items);
    if (!notes->items)
        return full(r);
    notes->items[notes->n++] = match;
    return true;
}

/* Prometheus looks for the pattern anywhere in the text; ours are anchored. */
static bool compile(struct reading *r, struct slice pattern, struct regex **out)
{
    struct buf anywhere;
    buf_init(&anywhere, 1 << 16);
    buf_printf(&anywhere, ".*(?:%.*s).*", SLICE_FMT(pattern));
    bool ok = regex_new(buf_view(&anywhere), out, r->err);
    buf_fini(&anywhere);
    if (!ok)
        return err_at(r->err, NULL, r->number, 0);
    GROW(r->out->regexes, r->out->regexes_cap, r->out->n_regexes + 1);
    r->out->regexes[r->out->n_regexes++] = *out;
    return true;
}

/* msg: TEXT or regex: PATTERN, or nothing. */
static bool read_match(struct reading *r, struct slice rest, struct script_match *out)
{
    size_t at = 0;
    *out = (struct script_match){0};
    if (rest.len == 0)
        return true;
    out->exact = scan_word(rest, &at, "msg:");
    if (!out->exact && !scan_word(rest, &at, "regex:"))
        return fail(r, "expected \"msg: TEXT\" or \"regex: PATTERN\"");
    out->text = trim(slice_of(rest.ptr + at, rest.len - at));
    return out->exact || compile(r, out->text, &out->regex);
}

static bool read_note(struct reading *r, struct script_eval *eval, struct slice rest)
{
    struct script_match match;
    struct slice word = take_word(&rest);
    if (!read_match(r, rest, &match))
        return false;
    if (slice_is(word, "ordered")) {
        eval->ordered = true;
        return true;
    }
    for (int i = 0; i < NOTE_KINDS; i++)
        if (slice_is(word, note_names[i]))
            return add_note(r, eval, (enum script_note)i, match);
    return fail(r, "expected ordered, fail, warn, no_warn, info or no_info");
}

static bool check_notes(struct reading *r, const struct script_eval *eval)
{
    const struct script_notes *n = eval->notes;
    if (n[NOTE_INFO].n && n[NOTE_NO_INFO].n)
        return fail(r, "info and no_info cannot be used together");
    if (n[NOTE_WARN].n && n[NOTE_NO_WARN].n)
        return fail(r, "warn and no_warn cannot be used together");
    return n[NOTE_FAIL].n <= 1 || fail(r, "multiple expect fail lines are not allowed");
}

static bool read_range_vector(struct reading *r, struct script_eval *eval, struct slice rest)
{
    eval->range_vector = true;
    if (!take_keyword(&rest, "vector") || !take_keyword(&rest, "from") ||
        !take_duration(r, &rest, &eval->from_ms) || !take_keyword(&rest, "to") ||
        !take_duration(r, &rest, &eval->to_ms) || !take_keyword(&rest, "step") ||
        !take_duration(r, &rest, &eval->range_step_ms))
        return fail(r, "expected \"expect range vector from A to B step S\"");
    return eval->to_ms >= eval->from_ms || fail(r, "the range vector ends before it begins");
}

static bool read_string(struct reading *r, struct script_eval *eval, struct slice rest)
{
    struct lexer lexer;
    lexer_init(&lexer, rest);
    struct token token = lexer_next(&lexer);
    if (token.type != TOKEN_STRING || lexer.at != rest.len)
        return fail(r, "expected a quoted string");
    eval->expect = EXPECT_STRING;
    eval->string = unquote_text(token.text, r->arena);
    return eval->string.ptr ? true : full(r);
}

static bool read_expect(struct reading *r, struct script_eval *eval, struct slice rest)
{
    struct slice behind = rest;
    if (take_keyword(&behind, "range"))
        return read_range_vector(r, eval, behind);
    behind = rest;
    if (take_keyword(&behind, "string"))
        return read_string(r, eval, behind);
    return read_note(r, eval, rest) && check_notes(r, eval);
}

/* The older forms: expected_fail_message TEXT, expected_fail_regexp PATTERN behind eval_fail. */
static bool read_old_fail(
    struct reading *r, struct script_eval *eval, struct slice rest, bool exact)
{
    struct script_match match = {.text = rest, .exact = exact};
    if (!exact && !compile(r, rest, &match.regex))
        return false;
    eval->notes[NOTE_FAIL].n = 0;
    return add_note(r, eval, NOTE_FAIL, match);
}

/* One line of the block; *last: it ends the block, as a number does. */
static bool read_expectation(struct reading *r, struct script_eval *eval, bool *last)
{
    struct slice rest = r->line;
    size_t at = 0;
    double v;
    if (take_keyword(&rest, "expect"))
        return read_expect(r, eval, rest);
    if (eval->notes[NOTE_FAIL].n > 0) {
        *last = take_keyword(&rest, "expected_fail_message");
        if (*last)
            return read_old_fail(r, eval, rest, true);
        *last = take_keyword(&rest, "expected_fail_regexp");
        if (*last)
            return read_old_fail(r, eval, rest, false);
    }
    *last = scan_signed(r->line, &at, &v) && at == r->line.len;
    if (*last) {
        eval->expect = EXPECT_SCALAR;
        eval->scalar = v;
        return true;
    }
    if (!take_series(r, &eval->series, &eval->n, &eval->cap))
        return false;
    if (eval->series[eval->n - 1].n > 1 && !eval->is_range && !eval->range_vector)
        return fail(r, "several values in an instant evaluation need \"expect range vector\"");
    return true;
}

/* ---- eval ---- */

/* eval_fail, eval_warn, eval_info and eval_ordered. */
static bool read_old_mode(struct reading *r, struct script_eval *eval, struct slice word)
{
    static const struct script_match anything = {0};
    if (slice_is(word, "eval"))
        return true;
    if (slice_is(word, "eval_ordered"))
        eval->ordered = true;
    else if (slice_is(word, "eval_fail"))
        return add_note(r, eval, NOTE_FAIL, anything);
    else if (slice_is(word, "eval_warn"))
        return add_note(r, eval, NOTE_WARN, anything);
    else if (slice_is(word, "eval_info"))
        return add_note(r, eval, NOTE_INFO, anything);
    else
        return fail(r, "expected eval, or eval_ with fail, warn, info or ordered");
    return true;
}

static bool read_times(struct reading *r, struct script_eval *eval, struct slice *rest)
{
    if (take_keyword(rest, "instant")) {
        if (!take_keyword(rest, "at") || !take_duration(r, rest, &eval->start_ms))
            return fail(r, "expected \"eval instant at TIME QUERY\"");
        eval->end_ms = eval->start_ms;
        return true;
    }
    eval->is_range = true;
    if (!take_keyword(rest, "range") || !take_keyword(rest, "from") ||
        !take_duration(r, rest, &eval->start_ms) || !take_keyword(rest, "to") ||
        !take_duration(r, rest, &eval->end_ms) || !take_keyword(rest, "step") ||
        !take_duration(r, rest, &eval->step_ms))
        return fail(r, "expected \"eval range from TIME to TIME step STEP QUERY\"");
    return eval->end_ms >= eval->start_ms || fail(r, "the range ends before it begins");
}

static bool read_eval(struct reading *r, struct script_eval *eval)
{
    struct slice rest = r->line;
    bool last = false;
    if (!read_old_mode(r, eval, take_word(&rest)) || !read_times(r, eval, &rest))
        return false;
    if (rest.len == 0)
        return fail(r, "the query is missing");
    eval->expr = arena_slice(r->arena, rest);
    if (!eval->expr.ptr)
        return full(r);
    while (!last && next_in_block(r))
        if (!read_expectation(r, eval, &last))
            return false;
    return true;
}

/* ---- commands ---- */

static bool starts_with(struct slice s, const char *prefix)
{
    return slice_starts(s, slice_from(prefix));
}

static bool read_command(struct reading *r)
{
    struct script *s = r->out;
    s->commands = grow(r, s->commands, s->n, &s->cap, sizeof *s->commands);
    if (!s->commands)
        return full(r);
    struct script_command *c = &s->commands[s->n++];
    *c = (struct script_command){.line = r->number};
    if (slice_is(r->line, "clear"))
        return true;
    if (starts_with(r->line, "load")) {
        c->type = SCRIPT_LOAD;
        return read_load(r, &c->u.load);
    }
    if (starts_with(r->line, "eval")) {
        c->type = SCRIPT_EVAL;
        return read_eval(r, &c->u.eval);
    }
    return fail(r, "expected clear, load or eval");
}

bool script_parse(struct slice text, struct arena *arena, struct script *out, struct err *err)
{
    struct reading r = {.text = text, .arena = arena, .out = out, .err = err};
    *out = (struct script){0};
    while (next_line(&r)) {
        if (r.line.len == 0)
            continue;
        if (!read_command(&r)) {
            script_free(out);
            return false;
        }
    }
    return true;
}

void script_free(struct script *script)
{
    for (size_t i = 0; i < script->n_regexes; i++)
        regex_free(&script->regexes[i]);
    free(script->regexes);
    *script = (struct script){0};
}

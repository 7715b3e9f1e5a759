/*
 * Two schemas to a program. A pair of types that was resolved once is a routine, which is called
 * wherever the pair comes again: so neither a recursive schema nor one that names the same record
 * in a thousand places makes more ops than it has pairs.
 */
#include "ingest/avro/avro_program.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/avro/avro_default.h"
#include "ingest/avro/avro_ops.h"

#define OPS_MAX      (1u << 18)
#define ROUTINES_MAX (1u << 16)
#define SYMBOLS_MAX  (1u << 18)
#define TEXTS_MAX    (16u << 20) /* bytes of symbols and of defaults */
#define PATH_BYTES   256

/* What a value is for: a field of the contract from 0 on, or */
#define FOR_NOTHING (-1)
#define FOR_EVENT   (-2) /* its fields are those of the event */

/* r NULL: what the reader does not have. */
struct pair {
    const struct avro_node *w, *r;
    int target;
};

struct routine {
    struct pair pair;
    const char *path;      /* where it was first met */
    uint32_t start, end;   /* its ops */
    const struct err *why; /* it does not resolve; NULL: it does */
    bool refuses;          /* its ops refuse the value, and skip it */
};

struct compiler {
    struct avro_program *program;
    struct arena arena; /* paths and errors */
    struct routine *routines;
    size_t n_routines, routines_cap;
    struct map by_pair;
    char path[PATH_BYTES];
    size_t path_len;
    struct err *err;
};

/* ---- errors ---- */

static bool fail(struct compiler *c, enum err_code code, const char *text)
{
    c->path[c->path_len] = 0;
    return err_set(c->err, code, "%s%s%s", c->path, c->path_len ? ": " : "", text);
}

static bool no_match(struct compiler *c, const struct pair *p)
{
    char writer[AVRO_TYPE_TEXT_MAX], reader[AVRO_TYPE_TEXT_MAX], text[ERR_TEXT_MAX];
    snprintf(text, sizeof text, "the writer's %s is no %s of the reader",
        avro_type_text(p->w, writer), avro_type_text(p->r, reader));
    return fail(c, ERR_INVALID, text);
}

static size_t enter(struct compiler *c, struct slice part)
{
    size_t before = c->path_len;
    int n = snprintf(c->path + before, sizeof c->path - before, "%s%.*s", before ? "." : "",
        (int)(part.len < 64 ? part.len : 64), part.ptr);
    size_t room = sizeof c->path - before - 1;
    c->path_len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
    return before;
}

static void leave(struct compiler *c, size_t before)
{
    c->path_len = before;
    c->path[before] = 0;
}

/* ---- ops ---- */

static struct avro_op *emit(struct compiler *c, enum avro_code code, uint32_t a, uint32_t b)
{
    struct avro_program *p = c->program;
    GROW(p->ops, p->ops_cap, p->n_ops + 1);
    p->ops[p->n_ops] = (struct avro_op){.code = (uint8_t)code, .a = a, .b = b};
    return &p->ops[p->n_ops++];
}

static bool emit_value(struct compiler *c, const struct pair *p, enum avro_code code,
    enum avro_take take, uint32_t a, uint32_t b)
{
    struct avro_op *op = emit(c, code, a, b);
    op->take = (uint8_t)take;
    op->field = p->target >= 0 ? (uint8_t)p->target : 0;
    return true;
}

/* ---- matching ---- */

static bool same_name(const struct avro_node *w, const struct avro_node *r)
{
    if (slice_eq(avro_short_name(w->name), avro_short_name(r->name)))
        return true;
    for (size_t i = 0; i < r->n_aliases; i++)
        if (slice_eq(r->aliases[i], w->name))
            return true;
    return false;
}

static bool is_instant(enum avro_logical logical)
{
    return logical >= LOGICAL_DATE;
}

static bool logicals_match(const struct avro_node *w, const struct avro_node *r)
{
    bool decimals = w->logical == LOGICAL_DECIMAL && r->logical == LOGICAL_DECIMAL;
    if (decimals)
        return w->precision == r->precision && w->scale == r->scale;
    return !is_instant(w->logical) || !is_instant(r->logical) || w->logical == r->logical;
}

/* The same type, or the one that it may become; no look at what is inside. */
enum likeness { DIFFERENT, PROMOTED, SAME };

static enum likeness likeness(const struct avro_node *w, const struct avro_node *r)
{
    bool text = w->type == AVRO_STRING || w->type == AVRO_BYTES;
    if (!logicals_match(w, r))
        return DIFFERENT;
    if (w->type == r->type)
        return w->name.len == 0 || (same_name(w, r) && w->size == r->size) ? SAME : DIFFERENT;
    if (w->type >= AVRO_INT && w->type < AVRO_DOUBLE && r->type > w->type && r->type <= AVRO_DOUBLE)
        return PROMOTED;
    return text && (r->type == AVRO_STRING || r->type == AVRO_BYTES) ? PROMOTED : DIFFERENT;
}

/* The branch of the reader's union for what the writer wrote; NULL: none. */
static const struct avro_node *branch_for(const struct avro_node *w, const struct avro_node *r)
{
    const struct avro_node *best = NULL;
    int points = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct avro_node *b = r->branches[i];
        enum likeness like = likeness(w, b);
        int now = like == SAME ? 2 + (w->name.len && slice_eq(w->name, b->name)) : (int)like;
        if (now > points) {
            points = now;
            best = b;
        }
    }
    return best;
}

/* ---- routines ---- */

static bool pair_is(const void *ctx, const void *key, uint32_t id)
{
    const struct compiler *c = ctx;
    const struct pair *a = &c->routines[id].pair, *b = key;
    return a->w == b->w && a->r == b->r && a->target == b->target;
}

static uint64_t pair_hash(const struct pair *p)
{
    ensure(p->w != NULL);
    uint64_t r = p->r ? p->r->number + 1 : 0;
    return (((uint64_t)p->w->number << 32) ^ (r << 8) ^ (uint64_t)(p->target + 2)) *
           UINT64_C(0x9e3779b97f4a7c15);
}

/* *number: of the pair's routine; a new one waits for its turn, so nothing here recurs. */
static bool routine_of(struct compiler *c, const struct pair *pair, uint32_t *number)
{
    ensure(pair->w != NULL); /* every node has a type */
    *number = map_find(&c->by_pair, pair_hash(pair), pair_is, c, pair);
    if (*number != MAP_NONE)
        return true;
    if (c->n_routines == ROUTINES_MAX || c->program->n_ops >= OPS_MAX)
        return fail(c, ERR_LIMIT, "the schemas make too large a program");
    *number = (uint32_t)c->n_routines;
    map_insert(&c->by_pair, pair_hash(pair), *number);
    GROW(c->routines, c->routines_cap, c->n_routines + 1);
    c->routines[c->n_routines++] =
        (struct routine){.pair = *pair, .path = arena_slice(&c->arena, slice_from(c->path)).ptr};
    return true;
}

/* ---- values ---- */

static bool is_whole(const struct avro_node *node)
{
    return node->type == AVRO_INT || node->type == AVRO_LONG;
}

static bool is_number(const struct avro_node *node)
{
    return node->type >= AVRO_INT && node->type <= AVRO_DOUBLE;
}

/* Whichever side has one. */
static const struct avro_node *meaning(const struct pair *p)
{
    return p->w->logical == LOGICAL_NONE ? p->r : p->w;
}

static bool take_number(const struct pair *p, enum avro_take *take)
{
    if (meaning(p)->logical == LOGICAL_DECIMAL)
        *take = TAKE_DECIMAL;
    else if (is_whole(p->w) && is_whole(p->r))
        *take = TAKE_INTEGER;
    else if (is_number(p->w))
        *take = p->r->type == AVRO_FLOAT ? TAKE_FLOAT : TAKE_DOUBLE;
    else
        return false;
    return true;
}

static bool take_time(const struct pair *p, enum avro_take *take)
{
    if (p->w->type == AVRO_STRING || p->r->type == AVRO_STRING) {
        *take = TAKE_TIME_TEXT;
        return true;
    }
    if (!is_number(p->w))
        return false;
    switch (meaning(p)->logical) {
    case LOGICAL_DATE: *take = TAKE_DAYS; return true;
    case LOGICAL_TIMESTAMP_MICROS: *take = TAKE_MICROS; return true;
    case LOGICAL_TIMESTAMP_NANOS: *take = TAKE_NANOS; return true;
    default: return take_number(p, take);
    }
}

static bool take_text(const struct pair *p, enum avro_take *take)
{
    bool bytes = p->w->type == AVRO_STRING || p->w->type == AVRO_BYTES ||
                 p->w->type == AVRO_FIXED || p->w->type == AVRO_ENUM;
    if (p->w->type == AVRO_FIXED && meaning(p)->logical == LOGICAL_UUID)
        *take = TAKE_UUID;
    else
        *take = p->w->type == AVRO_BYTES || p->w->type == AVRO_FIXED ? TAKE_BYTES : TAKE_TEXT;
    return bytes && meaning(p)->logical != LOGICAL_DECIMAL;
}

/* How the value becomes one of the field. False: it cannot. */
static bool take_of(const struct compiler *c, const struct pair *p, enum avro_take *take)
{
    switch (c->program->rules->contract->fields[p->target].type) {
    case FIELD_BOOL: *take = TAKE_BOOLEAN; return p->w->type == AVRO_BOOLEAN;
    case FIELD_STRING: return take_text(p, take);
    case FIELD_TIME: return take_time(p, take);
    default: return take_number(p, take);
    }
}

static bool emit_enum(struct compiler *c, const struct pair *p, enum avro_take take)
{
    struct avro_program *program = c->program;
    uint32_t first = (uint32_t)program->n_symbols;
    if (program->n_symbols + p->w->n > SYMBOLS_MAX)
        return fail(c, ERR_LIMIT, "the schemas have too many symbols");
    GROW(program->symbols, program->symbols_cap, program->n_symbols + p->w->n);
    for (size_t i = 0; i < p->w->n; i++) {
        const struct avro_node *r = p->r ? p->r : p->w;
        int at = r == p->w ? (int)i : r->default_symbol;
        for (size_t k = 0; r != p->w && k < r->n; k++)
            if (slice_eq(r->symbols[k], p->w->symbols[i]))
                at = (int)k;
        struct slice symbol = {NULL, 0};
        if (at >= 0 && !(symbol = arena_slice(&program->arena, r->symbols[at])).ptr)
            return fail(c, ERR_LIMIT, "the schemas have too long symbols");
        program->symbols[program->n_symbols++] = symbol;
    }
    return emit_value(c, p, OP_ENUM, take, first, (uint32_t)p->w->n);
}

static bool emit_leaf(struct compiler *c, const struct pair *p)
{
    static const enum avro_code codes[] = {[AVRO_NULL] = OP_NULL,
        [AVRO_BOOLEAN] = OP_BOOLEAN,
        [AVRO_INT] = OP_INT,
        [AVRO_LONG] = OP_LONG,
        [AVRO_FLOAT] = OP_FLOAT,
        [AVRO_DOUBLE] = OP_DOUBLE,
        [AVRO_BYTES] = OP_BYTES,
        [AVRO_STRING] = OP_BYTES,
        [AVRO_FIXED] = OP_FIXED};
    enum avro_take take = TAKE_NOTHING;
    if (p->target >= 0 && p->w->type != AVRO_NULL && !take_of(c, p, &take)) {
        emit_value(c, p, OP_MARK, TAKE_NOTHING, 0, 0);
        take = TAKE_NOTHING;
    }
    if (p->w->type == AVRO_ENUM)
        return emit_enum(c, p, take);
    return emit_value(c, p, codes[p->w->type], take, (uint32_t)p->w->size,
        take == TAKE_DECIMAL ? (uint32_t)meaning(p)->scale : 0);
}

static bool is_leaf(const struct avro_node *node)
{
    return node->type < AVRO_PRIMITIVES || node->type == AVRO_ENUM || node->type == AVRO_FIXED;
}

static bool emit_call(struct compiler *c, const struct pair *p)
{
    uint32_t number;
    if (!routine_of(c, p, &number))
        return false;
    emit(c, OP_CALL, number, 0);
    return true;
}

/* ---- what is resolved, one value ---- */

/* The reader's side of the pair is no union any more. */
static bool choose_branch(struct compiler *c, struct pair *p)
{
    if (p->r && p->r->type == AVRO_UNION && p->w->type != AVRO_UNION) {
        const struct avro_node *branch = branch_for(p->w, p->r);
        if (!branch)
            return no_match(c, p);
        p->r = branch;
    }
    return true;
}

/* The ops of a value, which are a call when it is made of others. */
static bool emit_pair(struct compiler *c, struct pair p)
{
    if (p.w->type == AVRO_UNION)
        return emit_call(c, &p);
    if (!choose_branch(c, &p))
        return false;
    if (p.r && likeness(p.w, p.r) == DIFFERENT)
        return no_match(c, &p);
    if (p.target == FOR_EVENT && p.w->type != AVRO_RECORD)
        return fail(c, ERR_INVALID, "an event is a record");
    if (is_leaf(p.w))
        return emit_leaf(c, &p);
    if (p.target >= 0)
        emit_value(c, &p, OP_MARK, TAKE_NOTHING, 0, 0);
    if (p.target != FOR_EVENT)
        p.target = FOR_NOTHING;
    return emit_call(c, &p);
}

/* ---- records ---- */

static const struct avro_field *find_field(const struct avro_node *record, struct slice name)
{
    for (size_t i = 0; i < record->n; i++)
        if (slice_eq(record->fields[i].name, name))
            return &record->fields[i];
    return NULL;
}

/* What the writer calls the reader's field. What was written serves one field: that of its name,
 * else the first that has it as an alias. */
static const struct avro_field *written_as(
    const struct pair *p, const struct avro_field *field, const struct avro_field **of_writer)
{
    const struct avro_field *found = find_field(p->w, field->name);
    for (size_t i = 0; !found && i < field->n_aliases; i++) {
        found = find_field(p->w, field->aliases[i]);
        if (found && (of_writer[found - p->w->fields] || find_field(p->r, found->name)))
            found = NULL;
    }
    return found;
}

static int target_of(const struct compiler *c, const struct pair *record, struct slice name)
{
    const struct contract *contract = c->program->rules->contract;
    if (record->target == FOR_EVENT)
        for (size_t i = 0; i < contract->n_fields; i++)
            if (slice_eq(contract->fields[i].name, name) &&
                event_field_inside(c->program->rules, (int)i))
                return (int)i;
    return FOR_NOTHING;
}

static bool emit_default(
    struct compiler *c, const struct pair *record, const struct avro_field *field)
{
    struct avro_program *program = c->program;
    struct pair p = {field->type, field->type, target_of(c, record, field->name)};
    struct buf bytes;
    uint32_t number;
    if (!field->value)
        return fail(c, ERR_INVALID, "the writer has no such field, and the reader no default");
    buf_init(&bytes, AVRO_DEFAULT_BYTES_MAX);
    bool ok = avro_default_encode(field->value, field->type, &bytes)
                  ? true
                  : fail(c, ERR_INVALID, "the default is no value of its type");
    if (ok && p.target >= 0 && (ok = routine_of(c, &p, &number))) {
        GROW(program->constants, program->constants_cap, program->n_constants + 1);
        struct slice kept = arena_slice(&program->arena, buf_view(&bytes));
        program->constants[program->n_constants] = kept;
        emit(c, OP_DEFAULT, number, (uint32_t)program->n_constants++);
        ok = kept.ptr || fail(c, ERR_LIMIT, "the schemas have too long defaults");
    }
    buf_fini(&bytes);
    return ok;
}

/* *of_writer: for each of the writer's fields the reader's, or NULL. */
static bool match_fields(
    struct compiler *c, const struct pair *p, const struct avro_field **of_writer)
{
    for (size_t i = 0; p->r && i < p->r->n; i++) {
        const struct avro_field *field = &p->r->fields[i];
        const struct avro_field *w = p->r == p->w ? field : written_as(p, field, of_writer);
        size_t before = enter(c, field->name);
        if (w)
            of_writer[w - p->w->fields] = field;
        else if (!emit_default(c, p, field))
            return false;
        leave(c, before);
    }
    return true;
}

static bool emit_record(struct compiler *c, const struct pair *p)
{
    const struct avro_field **of_writer = xcalloc(p->w->n + 1, sizeof *of_writer);
    bool ok = match_fields(c, p, of_writer);
    for (size_t i = 0; ok && i < p->w->n; i++) {
        const struct avro_field *w = &p->w->fields[i], *r = of_writer[i];
        struct pair field = {
            w->type, r ? r->type : NULL, r ? target_of(c, p, r->name) : FOR_NOTHING};
        size_t before = enter(c, w->name);
        ok = emit_pair(c, field);
        if (ok)
            leave(c, before);
    }
    free(of_writer);
    return ok;
}

/* ---- the rest ---- */

static bool emit_union(struct compiler *c, const struct pair *p)
{
    struct avro_program *program = c->program;
    uint32_t first = (uint32_t)program->n_branches;
    GROW(program->branches, program->branches_cap, program->n_branches + p->w->n);
    program->n_branches += p->w->n;
    emit(c, OP_UNION, first, (uint32_t)p->w->n);
    for (size_t i = 0; i < p->w->n; i++) {
        struct pair branch = {p->w->branches[i], p->r, p->target};
        uint32_t number;
        if (!routine_of(c, &branch, &number))
            return false;
        program->branches[first + i] = number;
    }
    return true;
}

static bool emit_blocks(struct compiler *c, const struct pair *p)
{
    struct pair items = {p->w->branches[0], p->r ? p->r->branches[0] : NULL, FOR_NOTHING};
    uint32_t number;
    if (!routine_of(c, &items, &number))
        return false;
    emit(c, OP_BLOCKS, number, p->w->type == AVRO_MAP);
    return true;
}

/* The ops of a routine. */
static bool emit_body(struct compiler *c, struct pair p)
{
    if (p.w->type == AVRO_UNION)
        return emit_union(c, &p);
    /* An item, or the branch of a union: not looked at yet. */
    if (!choose_branch(c, &p))
        return false;
    if (is_leaf(p.w) || (p.r && likeness(p.w, p.r) == DIFFERENT) || p.target >= 0 ||
        (p.target == FOR_EVENT && p.w->type != AVRO_RECORD))
        return emit_pair(c, p);
    return p.w->type == AVRO_RECORD ? emit_record(c, &p) : emit_blocks(c, &p);
}

static void emit_routine(struct compiler *c, uint32_t number)
{
    struct err err, *kept, *outer = c->err;
    c->path_len = 0;
    enter(c, slice_from(c->routines[number].path));
    c->err = &err;
    c->routines[number].start = (uint32_t)c->program->n_ops;
    if (!emit_body(c, c->routines[number].pair)) {
        kept = arena_alloc(&c->arena, sizeof err);
        *kept = err;
        c->routines[number].why = kept;
    }
    c->err = outer;
    emit(c, OP_RETURN, 0, 0);
    c->routines[number].end = (uint32_t)c->program->n_ops;
    c->err = NULL;
}

/* ---- linking ---- */

static bool calls(const struct avro_op *op)
{
    return op->code == OP_CALL || op->code == OP_BLOCKS || op->code == OP_DEFAULT;
}

/* Why a routine does not work that seems to: it needs one that does not. */
static const struct err *why_not(const struct compiler *c, const struct routine *r)
{
    for (uint32_t i = r->start; i < r->end; i++) {
        const struct avro_op *op = &c->program->ops[i];
        if (calls(op) && c->routines[op->a].why)
            return c->routines[op->a].why;
    }
    return NULL;
}

/* Callers come before whom they call, as a rule: from the last to the first, until nothing
 * changes. */
static void spread_failures(struct compiler *c)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = c->n_routines; i-- > 0;) {
            struct routine *r = &c->routines[i];
            if (!r->why && (r->why = why_not(c, r)))
                more = true;
        }
    }
}

/* A branch that does not resolve: a message with it is refused, and read to its end all the same,
 * since it may be malformed. */
static bool refuse_branch(struct compiler *c, uint32_t number, struct err *err)
{
    struct pair skipped = {c->routines[number].pair.w, NULL, FOR_NOTHING};
    uint32_t skip, n = (uint32_t)c->n_routines;
    if (!c->routines[number].why || c->routines[number].refuses)
        return true;
    c->err = err;
    if (!routine_of(c, &skipped, &skip))
        return false;
    for (; n < c->n_routines; n++) {
        emit_routine(c, n);
        if (c->routines[n].why) { /* what is skipped has nothing to resolve: a limit */
            *err = *c->routines[n].why;
            return false;
        }
    }
    c->routines[number].refuses = true;
    c->routines[number].start = (uint32_t)c->program->n_ops;
    emit(c, OP_REFUSE, 0, 0);
    emit(c, OP_CALL, skip, 0);
    emit(c, OP_RETURN, 0, 0);
    return true;
}

static bool refuse_branches(struct compiler *c, struct err *err)
{
    for (size_t i = 0; i < c->program->n_branches; i++) /* their number grows */
        if (!refuse_branch(c, c->program->branches[i], err))
            return false;
    return true;
}

static const struct err *first_limit(const struct compiler *c)
{
    for (size_t i = 0; i < c->n_routines; i++)
        if (c->routines[i].why && c->routines[i].why->code == ERR_LIMIT)
            return c->routines[i].why;
    return NULL;
}

static void link_program(struct compiler *c)
{
    struct avro_program *p = c->program;
    for (size_t i = 0; i < p->n_ops; i++)
        if (calls(&p->ops[i]))
            p->ops[i].a = c->routines[p->ops[i].a].start;
    for (size_t i = 0; i < p->n_branches; i++)
        p->branches[i] = c->routines[p->branches[i]].start;
    p->start = c->routines[0].start;
}

static bool compile(
    struct compiler *c, const struct avro_node *w, const struct avro_node *r, struct err *err)
{
    struct pair pair = {w, r, FOR_EVENT};
    uint32_t root;
    c->err = err;
    if (!routine_of(c, &pair, &root))
        return false;
    for (uint32_t i = root; i < c->n_routines; i++)
        emit_routine(c, i);
    spread_failures(c);
    const struct err *why = first_limit(c);
    if (!why)
        why = c->routines[root].why;
    if (why) {
        *err = *why;
        return false;
    }
    if (!refuse_branches(c, err))
        return false;
    link_program(c);
    return true;
}

bool avro_program_new(const struct avro_schema *writer, const struct avro_schema *reader,
    const struct event_rules *rules, struct avro_program **out, struct err *err)
{
    struct avro_program *program = xcalloc(1, sizeof *program);
    struct compiler c = {.program = program};
    const struct avro_node *w = avro_schema_root(writer);
    program->rules = rules;
    arena_init(&program->arena, TEXTS_MAX);
    arena_init(&c.arena, 0);
    map_init(&c.by_pair);
    bool ok = compile(&c, w, reader ? avro_schema_root(reader) : w, err);
    map_fini(&c.by_pair);
    free(c.routines);
    arena_fini(&c.arena);
    if (ok)
        *out = program;
    else
        avro_program_free(&program);
    return ok;
}

void avro_program_free(struct avro_program **program)
{
    struct avro_program *p = *program;
    *program = NULL;
    if (!p)
        return;
    free(p->ops);
    free(p->branches);
    free(p->symbols);
    free(p->constants);
    arena_fini(&p->arena);
    free(p);
}

#include "ingest/lifecycle/life_outputs.h"

#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

#define MINUTE EXPIRY_MINUTE_MS

void life_view(const struct lifecycle *lifecycle, const struct life *life, struct event *out)
{
    const struct contract *view = &lifecycle->view;
    out->contract = view;
    for (size_t i = 0; i < view->n_fields; i++) {
        bool is_stage = i < lifecycle->rules.n_stages;
        size_t stage = is_stage ? i : lifecycle->captured[i].stage;
        uint8_t capture = lifecycle->captured[i].capture;
        const struct fact *fact = life->stages[stage];
        out->v[i] = (struct field_value){0};
        if (!fact)
            continue;
        out->v[i].present = is_stage || (fact->has >> capture & 1);
        if (out->v[i].present)
            out->v[i].num = is_stage ? fact->time_ms : fact->captured[capture];
    }
    ensure(life->stages[0] != NULL); /* a life begins with it */
    out->time_ms = life->stages[0]->time_ms;
}

int64_t expiry_minute(int64_t until_ms)
{
    return until_ms / MINUTE - (until_ms % MINUTE < 0);
}

/* ---- one life ---- */

struct maker {
    const struct life_rollups *rollups;
    const struct lifecycle *lifecycle;
    const struct life *life;
    struct event *view;
    int outcome; /* as in an output; -1: not known yet */
    int64_t end_ms;
    bool negative;
    struct life_outputs *out;
};

static struct life_output *put(
    struct maker *m, uint32_t rollup, int from, int to, int64_t time_ms, int64_t value)
{
    struct life_outputs *out = m->out;
    const struct rollup *r = m->rollups->rollups[rollup];
    GROW(out->items, out->cap, out->n + 1);
    out->items[out->n++] = (struct life_output){.rollup = rollup,
        .from = (int8_t)from,
        .to = (int8_t)to,
        .outcome = (int8_t)(r->needs_outcome ? m->outcome : -1),
        .negative = m->negative,
        .labels = m->life->stages[0]->labels,
        .time_ms = time_ms,
        .value = value,
        .counts_ms = time_ms};
    return &out->items[out->n - 1];
}

/* The value at the rollup's digits; false: there is none. */
static bool value_of(struct maker *m, const struct rollup *r, int64_t *out)
{
    struct field_value v = {.num = 1};
    if (r->when && (expr_eval(r->when, m->view, &v) != EXPR_OK || !v.num))
        return false;
    v.num = 1;
    if (r->value && expr_eval(r->value, m->view, &v) != EXPR_OK)
        return false;
    *out = v.num;
    return true;
}

static void put_at(struct maker *m, uint32_t rollup, int64_t time_ms)
{
    int64_t value;
    if (value_of(m, m->rollups->rollups[rollup], &value))
        put(m, rollup, -1, -1, time_ms, value);
}

/* The stages that were reached, in order of time; of one time as they are declared. */
static size_t in_order(const struct maker *m, int *out)
{
    size_t n = 0;
    for (int s = 0; s < m->lifecycle->rules.n_stages; s++) {
        const struct fact *f = m->life->stages[s];
        if (!f)
            continue;
        size_t at = n++;
        for (; at > 0 && m->life->stages[out[at - 1]]->time_ms > f->time_ms; at--)
            out[at] = out[at - 1];
        out[at] = s;
    }
    return n;
}

/* Milliseconds are seconds with three digits, which is what a rollup of steps has. */
static void put_steps(struct maker *m, uint32_t rollup)
{
    int stages[STAGES_MAX];
    size_t n = in_order(m, stages);
    struct field_value v = {.num = 1};
    const struct rollup *r = m->rollups->rollups[rollup];
    if (r->when && (expr_eval(r->when, m->view, &v) != EXPR_OK || !v.num))
        return;
    for (size_t i = 1; i < n; i++) {
        const struct fact *from = m->life->stages[stages[i - 1]], *to = m->life->stages[stages[i]];
        int64_t took;
        if (!__builtin_sub_overflow(to->time_ms, from->time_ms, &took))
            put(m, rollup, stages[i - 1], stages[i], to->time_ms,
                r->def.kind == KIND_COUNTER ? 1 : took);
    }
}

static void put_open(struct maker *m, uint32_t rollup)
{
    int64_t value;
    if (!value_of(m, m->rollups->rollups[rollup], &value))
        return;
    int64_t first_ms = m->life->stages[0]->time_ms;
    put(m, rollup, -1, -1, first_ms, value);
    if (m->outcome >= 0 && value != INT64_MIN)
        put(m, rollup, -1, -1, m->end_ms, -value)->counts_ms = first_ms;
}

static void put_rollup(struct maker *m, uint32_t i)
{
    const struct rollup *r = m->rollups->rollups[i];
    if (r->needs_outcome && m->outcome < 0)
        return;
    switch (r->at) {
    case ROLLUP_AT_STEP: put_steps(m, i); break;
    case ROLLUP_AT_OPEN: put_open(m, i); break;
    case ROLLUP_AT_END:
        if (m->outcome >= 0)
            put_at(m, i, m->end_ms);
        break;
    default:
        if (m->life->stages[r->stage])
            put_at(m, i, m->life->stages[r->stage]->time_ms);
    }
}

bool life_has_expired(int64_t until_ms, struct hash128 key, struct expiry expiry)
{
    int64_t minute = expiry_minute(until_ms);
    return minute < expiry.minute || (minute == expiry.minute && key.hi < expiry.key);
}

static void find_outcome(struct maker *m, struct hash128 key, struct expiry expiry)
{
    int64_t until = life_until(&m->lifecycle->rules, m->life);
    m->outcome = m->life->end;
    if (m->outcome >= 0) {
        m->end_ms = m->life->stages[m->outcome]->time_ms;
    } else if (life_has_expired(until, key, expiry)) {
        m->outcome = m->lifecycle->rules.n_stages;
        m->end_ms = until;
    }
}

void life_outputs_add(const struct life_rollups *rollups, const struct life *lives, size_t n,
    struct hash128 key, struct expiry expiry, bool negative, struct life_outputs *out)
{
    struct event view;
    for (size_t i = 0; i < n; i++) {
        struct maker m = {.rollups = rollups,
            .lifecycle = rollups->lifecycle,
            .life = &lives[i],
            .view = &view,
            .negative = negative,
            .out = out};
        life_view(m.lifecycle, m.life, &view);
        find_outcome(&m, key, expiry);
        for (uint32_t r = 0; r < rollups->n; r++)
            put_rollup(&m, r);
    }
}

/* ---- cancelling ---- */

static bool are_inverse(const struct life_output *a, const struct life_output *b)
{
    return a->rollup == b->rollup && a->time_ms == b->time_ms && a->value == b->value &&
           a->labels == b->labels && a->from == b->from && a->to == b->to &&
           a->outcome == b->outcome && a->counts_ms == b->counts_ms;
}

/* Looks from where the last pair was found, and then everywhere. */
void life_outputs_cancel(struct life_outputs *outputs, size_t n_before)
{
    struct life_output *o = outputs->items;
    size_t left = n_before, at = 0, n = n_before;
    if (outputs->n == 0)
        return;
    for (size_t i = n_before; i < outputs->n; i++) {
        size_t tries = 0;
        for (; tries < left; tries++, at++) {
            at = at < left ? at : 0;
            if (are_inverse(&o[at], &o[i]))
                break;
        }
        if (tries == left) {
            o[n++] = o[i];
            continue;
        }
        /* What is left of before stays in its order. */
        memmove(&o[at], &o[at + 1], (left - at - 1) * sizeof *o);
        left--;
    }
    memmove(&o[left], &o[n_before], (n - n_before) * sizeof *o);
    outputs->n = left + n - n_before;
}

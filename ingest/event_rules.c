#include "ingest/event_rules.h"

#include "base/ensure.h"

void event_rules_init(struct event_rules *rules, const struct contract *contract)
{
    ensure(contract->n_fields <= FIELDS_MAX);
    *rules = (struct event_rules){.contract = contract};
    for (size_t i = 0; i < contract->n_fields; i++) {
        const struct field *field = &contract->fields[i];
        if (field->required || (int)i == contract->event_time)
            rules->required |= UINT64_C(1) << i;
        if (field->n_allowed)
            json_names_init(&rules->allowed[i], field->allowed, field->n_allowed);
    }
}

void event_rules_fini(struct event_rules *rules)
{
    for (size_t i = 0; i < FIELDS_MAX; i++)
        json_names_fini(&rules->allowed[i]);
}

void event_clear(struct event *event, const struct event_rules *rules,
    const struct record_fields *beside, struct verdict *verdict)
{
    event->contract = rules->contract;
    memset(event->v, 0, rules->contract->n_fields * sizeof event->v[0]);
    *verdict = (struct verdict){0};
    if (!beside)
        return;
    *verdict = beside->verdict;
    for (uint64_t bits = beside->fields; bits; bits &= bits - 1) {
        int field = __builtin_ctzll(bits);
        event->v[field] = beside->v[field];
    }
}

static enum refusal refuse(enum refusal why, uint64_t fields, int *field)
{
    if (field)
        *field = __builtin_ctzll(fields);
    return why;
}

enum refusal event_end(
    struct event *event, const struct event_rules *rules, const struct verdict *verdict, int *field)
{
    uint64_t missing = rules->required & ~verdict->present;
    if (missing)
        return refuse(REFUSED_MISSING, missing, field);
    if (verdict->bad_type)
        return refuse(REFUSED_TYPE, verdict->bad_type, field);
    if (verdict->bad_range)
        return refuse(REFUSED_RANGE, verdict->bad_range, field);
    if (verdict->not_allowed)
        return refuse(REFUSED_NOT_ALLOWED, verdict->not_allowed, field);
    for (uint64_t bits = verdict->present; bits; bits &= bits - 1)
        event->v[__builtin_ctzll(bits)].present = true;
    event->time_ms = event->v[rules->contract->event_time].num;
    return REFUSED_NOT;
}

/*
 * librdkafka is told of single partitions, which leaves the others alone. Taking one away raises a
 * version barrier before the call comes back, so that what was fetched of it before is never
 * delivered behind what is fetched anew.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "ingest/source/kafka_source_priv.h"

static bool is_wanted(const struct kafka_source *s, const struct partition *p)
{
    return !p->halted && !p->marks.paused && !p->marks.given_up && !p->parked && !p->resting &&
           !p->examined && !p->unstarted && !p->suspended && !s->topics[p->topic].barred;
}

/* From the last record on, to compare it; without one from the position. */
static int64_t begin_at(struct partition *p)
{
    p->verifying = p->next >= 0 && p->marks.print.offset >= 0 && p->marks.print.offset < p->next;
    p->vain = false;
    return p->verifying   ? p->marks.print.offset
           : p->next >= 0 ? p->next
                          : RD_KAFKA_OFFSET_BEGINNING;
}

static bool failed(const char *what, rd_kafka_error_t *error)
{
    if (!error)
        return false;
    log_error("kafka: cannot %s partitions: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return true;
}

static void take_away(struct kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    for (size_t i = 0; i < s->n_partitions; i++) {
        struct partition *p = s->partitions[i];
        bool anew = p->anew;
        p->anew = false;
        if (!p->reading || (is_wanted(s, p) && !anew))
            continue;
        rd_kafka_topic_partition_list_add(list, s->topics[p->topic].name, p->id);
        p->reading = p->caught_up = false;
    }
    if (list->cnt)
        failed("give back", rd_kafka_incremental_unassign(s->rk, list));
}

static void hand_out(struct kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    for (size_t i = 0; i < s->n_partitions; i++) {
        struct partition *p = s->partitions[i];
        if (p->reading || !is_wanted(s, p))
            continue;
        partition_drop(s, p);
        rd_kafka_topic_partition_list_add(list, s->topics[p->topic].name, p->id)->offset =
            begin_at(p);
        p->reading = true;
    }
    if (!list->cnt || !failed("assign", rd_kafka_incremental_assign(s->rk, list)))
        return;
    for (int i = 0; i < list->cnt; i++) {
        struct partition *p =
            topic_partition(topic_named(s, list->elems[i].topic), list->elems[i].partition);
        p->reading = false;
        p->resting = s->restless = true;
    }
}

void assignment_sync(struct kafka_source *s)
{
    if (!s->changed)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    s->changed = false;
    take_away(s, list);
    rd_kafka_topic_partition_list_destroy(list);
    list = rd_kafka_topic_partition_list_new(8);
    hand_out(s, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void partition_drop(struct kafka_source *s, struct partition *p)
{
    if (p->lane) /* else it is none of the source's (bench/intake_speed.c) */
        lane_drop(s->lanes, p->lane);
    /* librdkafka has passed on what was dropped, and goes on behind it, unless it is told. */
    if (p->reading)
        p->anew = s->changed = true;
}

void partition_rest(struct kafka_source *s, struct partition *p, const char *why)
{
    p->resting = true;
    p->caught_up = false;
    s->changed = s->restless = true;
    log_warn("kafka: partition %s: %s; it is tried again", p->name, why);
}

void partition_begin_anew(struct kafka_source *s, struct partition *p)
{
    partition_drop(s, p);
    s->changed = true;
}

bool partition_is_gone(const struct partition *p)
{
    return p->halted && p->halt == HALT_GONE;
}

const char *partition_advice(const struct kafka_source *s, const struct partition *p)
{
    switch (p->halt) {
    case HALT_GONE:
        return s->topics[p->topic].by_pattern
                   ? "it goes on when the topic is there again; skip gives it up for good"
                   : "it goes on when the topic is there again; one that is gone for good leaves "
                     "the config";
    case HALT_ANEW:
        return "seek --to earliest reads a topic that was made anew; skip goes on behind what is "
               "there";
    case HALT_LOST: return "skip goes on at the first record that is there";
    case HALT_BROKEN: return "resume tries it again; skip goes behind it";
    }
    unreachable("there are no other causes");
}

void partition_halt(
    struct kafka_source *s, struct partition *p, enum halt why, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->cause, sizeof p->cause, fmt, args);
    va_end(args);
    partition_drop(s, p);
    p->halted = true;
    p->halt = why;
    p->verifying = p->caught_up = p->resting = p->examined = false;
    s->changed = true;
    log_error("kafka: partition %s is halted at %" PRId64 ": %s; %s", p->name, p->next, p->cause,
        partition_advice(s, p));
}

void partition_move(struct kafka_source *s, struct partition *p, int64_t next)
{
    partition_begin_anew(s, p);
    p->suspended = p->verifying = p->parked = false;
    p->next = p->passed = next;
    p->marks.print = p->print_before = FINGERPRINT_NONE;
    p->halted = p->examined = p->resting = p->unstarted = p->caught_up = false;
    p->cause[0] = 0;
    p->broken = 0;
    p->dirty = true;
}

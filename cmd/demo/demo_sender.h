/*
 * How the demo's events travel: most arrive a moment after they happened; some late, by minutes up
 * to hours (a phone in a cellar); some twice (a sender that saw no acknowledgement); and beside
 * them come broken ones that no contract accepts. Events come out in the order of their arrival.
 */
#ifndef CMD_DEMO_SENDER_H
#define CMD_DEMO_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/demo/demo_event.h"
#include "cmd/demo/demo_queue.h"
#include "cmd/demo/demo_random.h"

#define DEMO_TWICE_SHARE  0.015 /* of the events that happened */
#define DEMO_LATE_SHARE   0.01
#define DEMO_BROKEN_SHARE 0.004
#define DEMO_LATE_MAX_MS  (2 * 3600 * 1000)

struct demo_sender {
    struct demo_random random;
    struct demo_queue arrivals; /* ids into under_way */
    struct demo_event *under_way;
    size_t n, cap;
    uint32_t *unused; /* ids of under_way that are free */
    size_t n_unused, cap_unused;
    uint64_t numbers;
    uint64_t sent;   /* all that was put under way, or arrived since */
    int64_t from_ms; /* what would arrive earlier is dropped: it was before the log begins */
};

void demo_sender_init(struct demo_sender *sender, uint64_t seed, int64_t from_ms);
void demo_sender_fini(struct demo_sender *sender);

/* Sends what happened at event->time_ms; number and arrival are set here. */
void demo_sender_send(struct demo_sender *sender, const struct demo_event *event);
/* Arrival of the first event that is under way; INT64_MAX: none. */
int64_t demo_sender_next_ms(const struct demo_sender *sender);
/* Takes out the first; there must be one. */
void demo_sender_receive(struct demo_sender *sender, struct demo_event *out);
/* The least event time of the events under way that are not broken; INT64_MAX: none. Costs a walk
 * over them. */
int64_t demo_sender_oldest_ms(const struct demo_sender *sender);

#endif

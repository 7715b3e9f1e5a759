/*
 * Smart fridges: they sell by their market's rhythm, doors open, stock falls, a driver refills what
 * is missing and takes out what expired. Some cool badly for a while. Levels and temperatures can
 * be read at any time.
 */
#ifndef CMD_DEMO_FRIDGES_H
#define CMD_DEMO_FRIDGES_H

#include <stddef.h>
#include <stdint.h>

#include "cmd/demo/demo_queue.h"
#include "cmd/demo/demo_random.h"
#include "cmd/demo/demo_sender.h"

#define DEMO_FRIDGE_SKUS 8
#define DEMO_FRIDGES_MAX 4500

/* Events that one visit of a customer gives on the average, its share of refills included. */
#define DEMO_EVENTS_PER_SALE 1.67

struct demo_fridge {
    uint8_t skus[DEMO_FRIDGE_SKUS];
    uint16_t level[DEMO_FRIDGE_SKUS], capacity[DEMO_FRIDGE_SKUS];
    uint8_t market;
    bool refill_due;
    int32_t milli_celsius;
    int64_t broken_until_ms; /* the compressor rests */
};

struct demo_fridges {
    struct demo_random random;
    struct demo_sender *sender;
    struct demo_queue *queue;
    uint32_t task_kind;
    struct demo_fridge *fridges;
    uint32_t n; /* fridge i stands in market i % DEMO_MARKETS */
    uint32_t next_level, next_temperature;
};

void demo_fridges_init(struct demo_fridges *fridges, uint64_t seed, double sales_per_s,
    struct demo_sender *sender, struct demo_queue *queue, uint32_t task_kind);
void demo_fridges_fini(struct demo_fridges *fridges);

/* A customer opens a fridge of this market. */
void demo_fridges_visit(struct demo_fridges *fridges, int market, int64_t now_ms);
/* The refill of fridge id, which the queue gave back. */
void demo_fridges_refill(struct demo_fridges *fridges, uint32_t id, int64_t now_ms);
/* The readings whose turn it is. */
void demo_fridges_read_level(struct demo_fridges *fridges, int64_t now_ms);
void demo_fridges_read_temperature(struct demo_fridges *fridges, int64_t now_ms);

#endif

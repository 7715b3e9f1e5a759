/*
 * Orders, from the customer to the door:
 *
 *     placed -> authorized -> accepted -> prepared -> picked_up -> delivered -> captured -> review
 *            \-> failed, cancelled    \-> cancelled, refunded
 *             \-> rejected, refunded
 *
 * Kitchens are slower when their market is busy, and their promise does not quite follow; ratings
 * follow lateness. Couriers are taken while they drive, and their positions can be read meanwhile.
 */
#ifndef CMD_DEMO_KITCHEN_H
#define CMD_DEMO_KITCHEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/demo/demo_queue.h"
#include "cmd/demo/demo_random.h"
#include "cmd/demo/demo_sender.h"
#include "cmd/demo/demo_world.h"

/* Events of topics orders, payments and reviews that one order gives on the average. */
#define DEMO_EVENTS_PER_ORDER 7.1

struct demo_order;

struct demo_couriers { /* of one market */
    uint32_t *idle;
    size_t n_idle, cap_idle;
    uint32_t hired;
};

struct demo_kitchen {
    struct demo_random random;
    struct demo_sender *sender;
    struct demo_queue *queue;
    uint32_t task_kind; /* of the orders' tasks in the queue */
    uint32_t stores;    /* per market */
    struct demo_order *orders;
    size_t n_orders, cap_orders;
    uint32_t *unused; /* ids of orders that ended */
    size_t n_unused, cap_unused;
    uint32_t *driving; /* ids of orders that are on the road */
    size_t n_driving, cap_driving, next_ping;
    uint64_t placed;
    uint64_t id_salt;
    struct demo_couriers couriers[DEMO_MARKETS];
};

/* orders_per_s: how many are placed on the average; only the number of stores follows from it. */
void demo_kitchen_init(struct demo_kitchen *kitchen, uint64_t seed, double orders_per_s,
    struct demo_sender *sender, struct demo_queue *queue, uint32_t task_kind);
void demo_kitchen_fini(struct demo_kitchen *kitchen);

/* A customer in this market orders. */
void demo_kitchen_place(struct demo_kitchen *kitchen, int market, int64_t now_ms);
/* The task of an order that the queue gave back. */
void demo_kitchen_step(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms);
/* The position of the courier whose turn it is; false when none is on the road. */
bool demo_kitchen_ping(struct demo_kitchen *kitchen, int64_t now_ms);

#endif

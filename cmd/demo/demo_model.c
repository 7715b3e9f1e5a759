#include "cmd/demo/demo_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "cmd/demo/demo_fridges.h"
#include "cmd/demo/demo_kitchen.h"
#include "cmd/demo/demo_queue.h"
#include "cmd/demo/demo_random.h"
#include "cmd/demo/demo_sender.h"
#include "cmd/demo/demo_world.h"

/* Shares of the live rate. The rhythm of all markets together swings between 0.6 and 1.3, so the
 * sum stays below the tenth that history has. */
#define ORDERS_SHARE 0.045
#define SALES_SHARE  0.018

#define WARM_UP_MS (75 * 60000) /* life before the log begins: orders are on their way already */
#define MINUTE_MS  60000

enum task { TASK_ORDER, TASK_REFILL };

struct demo_model {
    struct demo_model_options options;
    struct demo_random random;
    struct demo_queue queue;
    struct demo_sender sender;
    struct demo_kitchen kitchen;
    struct demo_fridges fridges;
    double orders_per_ms, sales_per_ms; /* means over a day */
    double next_order_ms, next_sale_ms, next_reading_ms;
    int64_t demand_minute; /* for which demand[] holds */
    double demand[DEMO_MARKETS], demand_sum;
    uint32_t readings;
};

struct demo_model *demo_model_new(const struct demo_model_options *options)
{
    ensure(options->rate >= DEMO_RATE_MIN && options->rate <= DEMO_RATE_MAX);
    struct demo_model *model = xcalloc(1, sizeof *model);
    model->options = *options;
    model->random.state = demo_mix(options->seed ^ 0x6c61726465720001u);
    model->orders_per_ms = options->rate * ORDERS_SHARE / DEMO_EVENTS_PER_ORDER / 1000;
    model->sales_per_ms = options->rate * SALES_SHARE / DEMO_EVENTS_PER_SALE / 1000;
    double begin_ms = (double)(options->start_ms - WARM_UP_MS);
    model->next_order_ms = begin_ms + demo_random_exp(&model->random, 1 / model->orders_per_ms);
    model->next_sale_ms = begin_ms + demo_random_exp(&model->random, 1 / model->sales_per_ms);
    model->next_reading_ms = (double)options->start_ms;
    model->demand_minute = INT64_MIN;
    demo_queue_init(&model->queue);
    demo_sender_init(&model->sender, demo_random_next(&model->random), options->start_ms);
    demo_kitchen_init(&model->kitchen, demo_random_next(&model->random),
        model->orders_per_ms * 1000, &model->sender, &model->queue, TASK_ORDER);
    demo_fridges_init(&model->fridges, demo_random_next(&model->random), model->sales_per_ms * 1000,
        &model->sender, &model->queue, TASK_REFILL);
    return model;
}

void demo_model_free(struct demo_model **model)
{
    if (!*model)
        return;
    demo_fridges_fini(&(*model)->fridges);
    demo_kitchen_fini(&(*model)->kitchen);
    demo_sender_fini(&(*model)->sender);
    demo_queue_fini(&(*model)->queue);
    free(*model);
    *model = NULL;
}

static void know_demand(struct demo_model *model, int64_t now_ms)
{
    if (now_ms / MINUTE_MS == model->demand_minute)
        return;
    model->demand_minute = now_ms / MINUTE_MS;
    model->demand_sum = 0;
    for (int i = 0; i < DEMO_MARKETS; i++) {
        model->demand[i] = demo_demand(i, now_ms);
        model->demand_sum += model->demand[i];
    }
}

static int pick_market(struct demo_model *model)
{
    double at = demo_random_unit(&model->random) * model->demand_sum;
    int market = 0;
    while (market < DEMO_MARKETS - 1 && at >= model->demand[market])
        at -= model->demand[market++];
    return market;
}

static void order_arrives(struct demo_model *model)
{
    int64_t now_ms = (int64_t)model->next_order_ms;
    know_demand(model, now_ms);
    demo_kitchen_place(&model->kitchen, pick_market(model), now_ms);
    double mean_ms = 1 / (model->orders_per_ms * model->demand_sum);
    model->next_order_ms += demo_random_exp(&model->random, mean_ms);
}

static void sale_arrives(struct demo_model *model)
{
    int64_t now_ms = (int64_t)model->next_sale_ms;
    know_demand(model, now_ms);
    demo_fridges_visit(&model->fridges, pick_market(model), now_ms);
    double mean_ms = 1 / (model->sales_per_ms * model->demand_sum);
    model->next_sale_ms += demo_random_exp(&model->random, mean_ms);
}

/* Events that the rate asks for from the start to now. */
static double events_due(const struct demo_model *model, int64_t now_ms)
{
    const struct demo_model_options *o = &model->options;
    int64_t history_ms = (now_ms < o->live_ms ? now_ms : o->live_ms) - o->start_ms;
    int64_t live_ms = now_ms > o->live_ms ? now_ms - o->live_ms : 0;
    return (0.1 * (double)history_ms + (double)live_ms) * o->rate / 1000;
}

/* Readings per second: what the business leaves of the rate, and half a minute to make up for what
 * it sent more or less than it usually does. */
static double reading_rate(const struct demo_model *model, int64_t now_ms)
{
    double rate = model->options.rate;
    double target = now_ms < model->options.live_ms ? rate / 10 : rate;
    double business = rate * (ORDERS_SHARE + SALES_SHARE) * model->demand_sum;
    double owed = events_due(model, now_ms) - (double)model->sender.sent;
    double readings = target / (1 + DEMO_TWICE_SHARE + DEMO_BROKEN_SHARE) - business + owed / 30;
    return readings > target / 20 ? readings : target / 20;
}

/* Of ten readings six are couriers' positions, two temperatures, two levels. */
static void reading_arrives(struct demo_model *model)
{
    int64_t now_ms = (int64_t)model->next_reading_ms;
    know_demand(model, now_ms);
    uint32_t turn = model->readings++ % 10;
    if (turn % 5 == 4)
        demo_fridges_read_level(&model->fridges, now_ms);
    else if (turn % 5 == 1 || !demo_kitchen_ping(&model->kitchen, now_ms))
        demo_fridges_read_temperature(&model->fridges, now_ms);
    model->next_reading_ms += 1000 / reading_rate(model, now_ms);
}

static int64_t next_happening_ms(const struct demo_model *model)
{
    double next = model->next_order_ms;
    if (model->next_sale_ms < next)
        next = model->next_sale_ms;
    if (model->next_reading_ms < next)
        next = model->next_reading_ms;
    int64_t task_ms = demo_queue_next_ms(&model->queue);
    return task_ms < (int64_t)next ? task_ms : (int64_t)next;
}

static void happen(struct demo_model *model)
{
    int64_t now_ms = next_happening_ms(model);
    if (demo_queue_next_ms(&model->queue) == now_ms) {
        struct demo_task task = demo_queue_pop(&model->queue);
        if (task.kind == TASK_ORDER)
            demo_kitchen_step(&model->kitchen, task.id, now_ms);
        else
            demo_fridges_refill(&model->fridges, task.id, now_ms);
    } else if ((int64_t)model->next_order_ms == now_ms) {
        order_arrives(model);
    } else if ((int64_t)model->next_sale_ms == now_ms) {
        sale_arrives(model);
    } else {
        reading_arrives(model);
    }
}

int64_t demo_model_peek_ms(struct demo_model *model)
{
    /* Nothing that happens later can arrive before something that has happened and is due. */
    while (demo_sender_next_ms(&model->sender) > next_happening_ms(model))
        happen(model);
    return demo_sender_next_ms(&model->sender);
}

void demo_model_next(struct demo_model *model, struct demo_event *out)
{
    (void)demo_model_peek_ms(model);
    demo_sender_receive(&model->sender, out);
}

int64_t demo_model_complete_ms(const struct demo_model *model)
{
    int64_t under_way_ms = demo_sender_oldest_ms(&model->sender);
    int64_t future_ms = next_happening_ms(model);
    return (under_way_ms < future_ms ? under_way_ms : future_ms) - 1;
}

void demo_store_name(const struct demo_event *event, char *out, int size)
{
    snprintf(out, (size_t)size, "%s-s%03u", demo_markets[event->market].name, event->store);
}

void demo_fridge_name(int market, int fridge, char *out, int size)
{
    snprintf(out, (size_t)size, "%s-f%03d", demo_markets[market].name, fridge / DEMO_MARKETS);
}

void demo_courier_name(const struct demo_event *event, char *out, int size)
{
    snprintf(out, (size_t)size, "%s-c%04u", demo_markets[event->market].name, event->courier);
}

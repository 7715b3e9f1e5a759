#include "cmd/demo/demo_kitchen.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

#define SECOND_MS 1000
#define MINUTE_MS 60000

enum state { PAYING, DECIDING, COOKING, GIVEN_UP, WAITING, DRIVING, REVIEWING };

struct demo_order {
    uint64_t id;
    int64_t placed_ms, promised_ms, picked_up_ms, delivered_ms;
    int32_t amount_cents;
    int32_t from_lat, from_lon, to_lat, to_lon; /* of the drive, in millionths of a degree */
    uint32_t courier, customer;
    uint32_t driving_at; /* index in kitchen->driving */
    uint16_t store;
    uint8_t market, category, channel, items, state;
};

void demo_kitchen_init(struct demo_kitchen *kitchen, uint64_t seed, double orders_per_s,
    struct demo_sender *sender, struct demo_queue *queue, uint32_t task_kind)
{
    *kitchen = (struct demo_kitchen){
        .random = {seed}, .sender = sender, .queue = queue, .task_kind = task_kind};
    kitchen->id_salt = demo_mix(seed);
    double stores = 6 + orders_per_s * 2;
    kitchen->stores = stores < 400 ? (uint32_t)stores : 400;
}

void demo_kitchen_fini(struct demo_kitchen *kitchen)
{
    for (int i = 0; i < DEMO_MARKETS; i++)
        free(kitchen->couriers[i].idle);
    free(kitchen->orders);
    free(kitchen->unused);
    free(kitchen->driving);
}

/* ---- couriers ---- */

static uint32_t courier_take(struct demo_kitchen *kitchen, int market)
{
    struct demo_couriers *couriers = &kitchen->couriers[market];
    if (couriers->n_idle == 0)
        return couriers->hired++;
    size_t i = demo_random_below(&kitchen->random, (uint32_t)couriers->n_idle);
    uint32_t courier = couriers->idle[i];
    couriers->idle[i] = couriers->idle[--couriers->n_idle];
    return courier;
}

static void courier_give(struct demo_kitchen *kitchen, int market, uint32_t courier)
{
    struct demo_couriers *couriers = &kitchen->couriers[market];
    GROW(couriers->idle, couriers->cap_idle, couriers->n_idle + 1);
    couriers->idle[couriers->n_idle++] = courier;
}

static void drive_begin(struct demo_kitchen *kitchen, uint32_t id)
{
    GROW(kitchen->driving, kitchen->cap_driving, kitchen->n_driving + 1);
    kitchen->orders[id].driving_at = (uint32_t)kitchen->n_driving;
    kitchen->driving[kitchen->n_driving++] = id;
}

static void drive_end(struct demo_kitchen *kitchen, uint32_t id)
{
    uint32_t at = kitchen->orders[id].driving_at;
    uint32_t last = kitchen->driving[--kitchen->n_driving];
    kitchen->driving[at] = last;
    kitchen->orders[last].driving_at = at;
}

static int32_t part_way(int32_t from, int32_t to, double part)
{
    return from + (int32_t)((to - from) * part);
}

bool demo_kitchen_ping(struct demo_kitchen *kitchen, int64_t now_ms)
{
    if (kitchen->n_driving == 0)
        return false;
    if (kitchen->next_ping >= kitchen->n_driving)
        kitchen->next_ping = 0;
    const struct demo_order *order = &kitchen->orders[kitchen->driving[kitchen->next_ping++]];
    double part = (double)(now_ms - order->picked_up_ms) /
                  (double)(order->delivered_ms - order->picked_up_ms);
    int64_t left_s = (order->delivered_ms - now_ms) / SECOND_MS;
    int64_t guess = left_s + demo_random_between(&kitchen->random, -45, 60);
    struct demo_event event = {
        .time_ms = now_ms,
        .topic = DEMO_COURIERS,
        .market = order->market,
        .courier = order->courier,
        .order = order->id,
        .lat_micro = part_way(order->from_lat, order->to_lat, part),
        .lon_micro = part_way(order->from_lon, order->to_lon, part),
        .eta_seconds = guess > 0 ? (int32_t)guess : 0,
    };
    demo_sender_send(kitchen->sender, &event);
    return true;
}

/* ---- orders ---- */

static struct demo_event about(const struct demo_order *order, enum demo_topic topic, int type)
{
    return (struct demo_event){
        .topic = (uint8_t)topic,
        .type = (uint8_t)type,
        .order = order->id,
        .market = order->market,
        .store = order->store,
        .category = order->category,
        .channel = order->channel,
        .items = order->items,
        .amount_cents = order->amount_cents,
        .promised_ms = order->promised_ms,
        .customer = order->customer,
        .courier = order->courier,
    };
}

static void tell_stage(struct demo_kitchen *kitchen, const struct demo_order *order,
    enum demo_stage stage, enum demo_reason reason, int64_t now_ms)
{
    struct demo_event event = about(order, DEMO_ORDERS, stage);
    event.time_ms = now_ms;
    event.reason = (uint8_t)reason;
    demo_sender_send(kitchen->sender, &event);
}

static void tell_payment(struct demo_kitchen *kitchen, const struct demo_order *order,
    enum demo_payment status, int64_t now_ms)
{
    struct demo_event event = about(order, DEMO_PAYMENTS, status);
    event.time_ms = now_ms + demo_random_between(&kitchen->random, 80, 900);
    demo_sender_send(kitchen->sender, &event);
}

static void wait_for(
    struct demo_kitchen *kitchen, uint32_t id, enum state state, int64_t now_ms, double ms)
{
    kitchen->orders[id].state = (uint8_t)state;
    demo_queue_push(kitchen->queue, now_ms + 1 + (int64_t)ms, kitchen->task_kind, id);
}

static void finish(struct demo_kitchen *kitchen, uint32_t id)
{
    GROW(kitchen->unused, kitchen->cap_unused, kitchen->n_unused + 1);
    kitchen->unused[kitchen->n_unused++] = id;
}

static void set_drive(struct demo_kitchen *kitchen, struct demo_order *order)
{
    struct demo_random *r = &kitchen->random;
    const struct demo_market *market = &demo_markets[order->market];
    order->from_lat = market->lat_micro + (int32_t)demo_random_between(r, -60000, 60000);
    order->from_lon = market->lon_micro + (int32_t)demo_random_between(r, -80000, 80000);
    order->to_lat = order->from_lat + (int32_t)demo_random_between(r, -25000, 25000);
    order->to_lon = order->from_lon + (int32_t)demo_random_between(r, -30000, 30000);
}

/* Some stores and dishes are asked for more than others: the least of two draws. */
static uint32_t popular(struct demo_random *r, uint32_t n)
{
    uint32_t a = demo_random_below(r, n), b = demo_random_below(r, n);
    return a < b ? a : b;
}

void demo_kitchen_place(struct demo_kitchen *kitchen, int market, int64_t now_ms)
{
    struct demo_random *r = &kitchen->random;
    uint32_t id;
    if (kitchen->n_unused > 0) {
        id = kitchen->unused[--kitchen->n_unused];
    } else {
        GROW(kitchen->orders, kitchen->cap_orders, kitchen->n_orders + 1);
        id = (uint32_t)kitchen->n_orders++;
    }
    struct demo_order *order = &kitchen->orders[id];
    *order = (struct demo_order){.id = demo_mix(kitchen->id_salt + ++kitchen->placed),
        .placed_ms = now_ms,
        .market = (uint8_t)market,
        .store = (uint16_t)popular(r, kitchen->stores),
        .channel = (uint8_t)(demo_random_chance(r, 0.72) ? 0 : 1 + demo_random_chance(r, 0.2)),
        .items = (uint8_t)(1 + popular(r, 6)),
        .customer = demo_random_below(r, 200000)};
    /* A store cooks one kind of food. */
    uint64_t kind = demo_mix((uint64_t)market << 32 | order->store);
    order->category = (uint8_t)(kind % DEMO_CATEGORIES);
    const struct demo_category *category = &demo_categories[order->category];
    double price = demo_random_lognormal(r, category->price_cents, 0.25);
    order->amount_cents = 290 + (int32_t)price * order->items;
    int promise_min = category->prep_min + 15 + (int)(1.5 * demo_rhythm(market, now_ms));
    order->promised_ms = (now_ms / MINUTE_MS + promise_min) * MINUTE_MS;
    set_drive(kitchen, order);
    tell_stage(kitchen, order, DEMO_PLACED, DEMO_NO_REASON, now_ms);
    wait_for(kitchen, id, PAYING, now_ms, 800 + demo_random_exp(r, 2500));
}

static void pay(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    struct demo_random *r = &kitchen->random;
    if (demo_random_chance(r, 0.015)) {
        tell_payment(kitchen, order, DEMO_FAILED, now_ms);
        tell_stage(kitchen, order, DEMO_CANCELLED, DEMO_PAYMENT_FAILED, now_ms + SECOND_MS);
        finish(kitchen, id);
        return;
    }
    tell_payment(kitchen, order, DEMO_AUTHORIZED, now_ms);
    wait_for(kitchen, id, DECIDING, now_ms, demo_random_lognormal(r, 35 * SECOND_MS, 0.6));
}

static void decide(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    struct demo_random *r = &kitchen->random;
    double busy = demo_rhythm(order->market, now_ms);
    if (demo_random_chance(r, 0.01 + 0.012 * busy)) {
        enum demo_reason why = demo_random_chance(r, 0.7) ? DEMO_KITCHEN_BUSY : DEMO_OUT_OF_STOCK;
        tell_stage(kitchen, order, DEMO_REJECTED, why, now_ms);
        tell_payment(kitchen, order, DEMO_REFUNDED, now_ms);
        finish(kitchen, id);
        return;
    }
    tell_stage(kitchen, order, DEMO_ACCEPTED, DEMO_NO_REASON, now_ms);
    double prep_min = demo_categories[order->category].prep_min * (0.85 + 0.17 * busy);
    double ms = demo_random_lognormal(r, prep_min * MINUTE_MS, 0.25);
    bool gives_up = demo_random_chance(r, 0.025);
    wait_for(kitchen, id, gives_up ? GIVEN_UP : COOKING, now_ms,
        gives_up ? ms * demo_random_unit(r) : ms);
}

static void give_up(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    enum demo_reason why =
        demo_random_chance(&kitchen->random, 0.6) ? DEMO_CUSTOMER : DEMO_NO_COURIER;
    tell_stage(kitchen, order, DEMO_CANCELLED, why, now_ms);
    tell_payment(kitchen, order, DEMO_REFUNDED, now_ms);
    finish(kitchen, id);
}

static void cooked(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    tell_stage(kitchen, order, DEMO_PREPARED, DEMO_NO_REASON, now_ms);
    double busy = demo_rhythm(order->market, now_ms);
    double mean_ms = (1 + 0.6 * busy) * MINUTE_MS;
    wait_for(kitchen, id, WAITING, now_ms, demo_random_exp(&kitchen->random, mean_ms));
}

static void pick_up(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    order->courier = courier_take(kitchen, order->market);
    double ms = demo_random_lognormal(&kitchen->random, 9.5 * MINUTE_MS, 0.35);
    order->picked_up_ms = now_ms;
    order->delivered_ms = now_ms + 1 + (int64_t)ms;
    tell_stage(kitchen, order, DEMO_PICKED_UP, DEMO_NO_REASON, now_ms);
    drive_begin(kitchen, id);
    wait_for(kitchen, id, DRIVING, now_ms, ms);
}

static void deliver(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    struct demo_random *r = &kitchen->random;
    drive_end(kitchen, id);
    courier_give(kitchen, order->market, order->courier);
    tell_stage(kitchen, order, DEMO_DELIVERED, DEMO_NO_REASON, now_ms);
    tell_payment(kitchen, order, DEMO_CAPTURED, now_ms);
    order->delivered_ms = now_ms;
    if (demo_random_chance(r, 0.3))
        wait_for(
            kitchen, id, REVIEWING, now_ms, 20 * SECOND_MS + demo_random_exp(r, 8 * MINUTE_MS));
    else
        finish(kitchen, id);
}

/* Satisfaction falls with the minutes past the promise, and people differ. */
static void review(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    struct demo_order *order = &kitchen->orders[id];
    struct demo_random *r = &kitchen->random;
    double late_min = (double)(order->delivered_ms - order->promised_ms) / MINUTE_MS;
    double mood = 4.7 - 0.09 * (late_min > 0 ? late_min : 0) + 0.75 * demo_random_normal(r);
    if (demo_random_chance(r, 0.03))
        mood -= 2.5; /* cold, spilled, or not what was ordered */
    int score = mood < 1.5 ? 1 : mood >= 4.5 ? 5 : (int)(mood + 0.5);
    double nps = mood * 2 + demo_random_normal(r) * 0.8;
    double sentiment = (mood - 3) / 2 + demo_random_normal(r) * 0.15;
    struct demo_event event = about(order, DEMO_REVIEWS, 0);
    event.time_ms = now_ms;
    event.score = (uint8_t)score;
    event.nps = (uint8_t)(nps < 0 ? 0 : nps > 10 ? 10 : nps);
    event.sentiment_milli = (int16_t)(1000 * (sentiment < -1 ? -1 : sentiment > 1 ? 1 : sentiment));
    demo_sender_send(kitchen->sender, &event);
    if (score == 1 && demo_random_chance(r, 0.5))
        tell_payment(kitchen, order, DEMO_REFUNDED, now_ms + 5 * SECOND_MS);
    finish(kitchen, id);
}

void demo_kitchen_step(struct demo_kitchen *kitchen, uint32_t id, int64_t now_ms)
{
    ensure(id < kitchen->n_orders);
    switch ((enum state)kitchen->orders[id].state) {
    case PAYING: pay(kitchen, id, now_ms); break;
    case DECIDING: decide(kitchen, id, now_ms); break;
    case GIVEN_UP: give_up(kitchen, id, now_ms); break;
    case COOKING: cooked(kitchen, id, now_ms); break;
    case WAITING: pick_up(kitchen, id, now_ms); break;
    case DRIVING: deliver(kitchen, id, now_ms); break;
    case REVIEWING: review(kitchen, id, now_ms); break;
    }
}

/*
 * The fixed parts of the demo's business: its markets and their clocks, what kitchens cook, what
 * fridges hold. Sums of the markets' rhythms swing little over a day, since the markets lie around
 * the world, while each market has its own lunch and dinner.
 */
#ifndef CMD_DEMO_WORLD_H
#define CMD_DEMO_WORLD_H

#include <stdint.h>

#define DEMO_MARKETS    9
#define DEMO_CATEGORIES 8
#define DEMO_SKUS       12
#define DEMO_CHANNELS   3

struct demo_market {
    const char *name;
    int utc_offset_min;
    int size;                     /* relative number of customers */
    int32_t lat_micro, lon_micro; /* the centre, in millionths of a degree */
};

struct demo_category {
    const char *name;
    int prep_min;    /* usual minutes in the kitchen */
    int price_cents; /* usual price of one item */
};

extern const struct demo_market demo_markets[DEMO_MARKETS];
extern const struct demo_category demo_categories[DEMO_CATEGORIES];
extern const char *const demo_skus[DEMO_SKUS];
extern const char *const demo_channels[DEMO_CHANNELS];

/* How busy the market is at this time; the mean over a day is 1. */
double demo_rhythm(int market, int64_t now_ms);
/* Weight of the market among all, at this time; the sum of all weights has a mean of 1 over a day.
 */
double demo_demand(int market, int64_t now_ms);

#endif

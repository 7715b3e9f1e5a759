#include "cmd/demo/demo_world.h"

#include <math.h>

#include "base/ensure.h"

/* clang-format off */
const struct demo_market demo_markets[DEMO_MARKETS] = {
    {"lisbon",        0, 5,  38722000,   -9139000},
    {"berlin",       60, 8,  52520000,   13405000},
    {"istanbul",    180, 8,  41008000,   28978000},
    {"mumbai",      330, 9,  19076000,   72878000},
    {"tokyo",       540, 8,  35676000,  139650000},
    {"sydney",      600, 7, -33869000,  151209000},
    {"losangeles", -480, 8,  34052000, -118244000},
    {"newyork",    -300, 8,  40713000,  -74006000},
    {"saopaulo",   -180, 7, -23551000,  -46633000},
};

const struct demo_category demo_categories[DEMO_CATEGORIES] = {
    {"pizza",     14, 1190}, {"sushi",   16, 1650}, {"burgers", 11, 1090}, {"curry",    15, 1250},
    {"noodles",   10,  980}, {"salads",   8,  890}, {"bakery",   6,  450}, {"desserts",  7,  620},
};

const char *const demo_skus[DEMO_SKUS] = {
    "water-500", "cola-330", "oat-latte", "orange-juice", "salad-bowl", "chicken-wrap",
    "hummus-box", "poke-bowl", "yoghurt", "fruit-cup", "brownie", "energy-bar",
};
/* clang-format on */

const char *const demo_channels[DEMO_CHANNELS] = {"app", "web", "phone"};

#define MINUTES_OF_DAY 1440

static double peak(int minute, int centre, double width, double height)
{
    int away = minute > centre ? minute - centre : centre - minute;
    if (away > MINUTES_OF_DAY / 2)
        away = MINUTES_OF_DAY - away;
    double x = away / width;
    return height * exp(-0.5 * x * x);
}

/* Breakfast, lunch, dinner, and a few at night. */
static double appetite(int minute)
{
    return 0.10 + peak(minute, 510, 60, 0.25) + peak(minute, 765, 75, 1.0) +
           peak(minute, 1170, 100, 1.5);
}

/* The mean of appetite over the minutes of a day. */
#define APPETITE_MEAN 0.517771379

double demo_rhythm(int market, int64_t now_ms)
{
    ensure(market >= 0 && market < DEMO_MARKETS);
    int64_t minute = now_ms / 60000 + demo_markets[market].utc_offset_min;
    minute %= MINUTES_OF_DAY;
    if (minute < 0)
        minute += MINUTES_OF_DAY;
    return appetite((int)minute) / APPETITE_MEAN;
}

double demo_demand(int market, int64_t now_ms)
{
    int sum = 0;
    for (int i = 0; i < DEMO_MARKETS; i++)
        sum += demo_markets[i].size;
    return demo_rhythm(market, now_ms) * demo_markets[market].size / sum;
}

#include "cmd/demo/demo_random.h"

#include <math.h>

#include "base/ensure.h"

uint64_t demo_mix(uint64_t v)
{
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
    return v ^ (v >> 31);
}

uint64_t demo_random_next(struct demo_random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return demo_mix(r->state);
}

double demo_random_unit(struct demo_random *r)
{
    return (double)(demo_random_next(r) >> 11) * 0x1p-53;
}

uint32_t demo_random_below(struct demo_random *r, uint32_t n)
{
    ensure(n > 0);
    return (uint32_t)(((demo_random_next(r) >> 32) * n) >> 32);
}

int64_t demo_random_between(struct demo_random *r, int64_t low, int64_t high)
{
    ensure(low <= high && high - low < UINT32_MAX);
    return low + demo_random_below(r, (uint32_t)(high - low) + 1);
}

bool demo_random_chance(struct demo_random *r, double probability)
{
    return demo_random_unit(r) < probability;
}

double demo_random_exp(struct demo_random *r, double mean)
{
    return -mean * log1p(-demo_random_unit(r));
}

/* The sum of 12 uniform numbers: no tails beyond 6 deviations, which a model of people does not
 * need. */
double demo_random_normal(struct demo_random *r)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += demo_random_unit(r);
    return sum;
}

double demo_random_lognormal(struct demo_random *r, double median, double sigma)
{
    return median * exp(sigma * demo_random_normal(r));
}

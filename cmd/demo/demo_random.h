/*
 * Pseudo-random numbers of the demo: a 64-bit generator (SplitMix64, Steele et al. 2014) and the
 * few distributions that the business model draws from. The same seed gives the same numbers.
 */
#ifndef CMD_DEMO_RANDOM_H
#define CMD_DEMO_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct demo_random {
    uint64_t state;
};

/* A bijection that scatters: distinct inputs give distinct outputs. */
uint64_t demo_mix(uint64_t v);

uint64_t demo_random_next(struct demo_random *r);
/* In [0, 1). */
double demo_random_unit(struct demo_random *r);
/* In [0, n); n at least 1. */
uint32_t demo_random_below(struct demo_random *r, uint32_t n);
/* In [low, high], both included. */
int64_t demo_random_between(struct demo_random *r, int64_t low, int64_t high);
/* True with this probability. */
bool demo_random_chance(struct demo_random *r, double probability);
/* Exponential with this mean. */
double demo_random_exp(struct demo_random *r, double mean);
/* Mean 0, deviation 1; within +-6. */
double demo_random_normal(struct demo_random *r);
/* Log-normal with this median; sigma is the deviation of the logarithm. */
double demo_random_lognormal(struct demo_random *r, double median, double sigma);

#endif

/*
 * Sums of doubles with a compensation for what rounding loses (Kahan in Neumaier's variant), as
 * Prometheus sums: the result is sum + comp. An infinite sum has no compensation, else it would
 * become NaN.
 */
#ifndef QUERY_KAHAN_H
#define QUERY_KAHAN_H

#include <math.h>

struct kahan {
    double sum, comp;
};

static inline void kahan_add(struct kahan *k, double v)
{
    double t = k->sum + v;
    if (isinf(t))
        k->comp = 0;
    else if (fabs(k->sum) >= fabs(v))
        k->comp += (k->sum - t) + v;
    else
        k->comp += (v - t) + k->sum;
    k->sum = t;
}

static inline double kahan_total(struct kahan k)
{
    return k.sum + k.comp;
}

#endif

/*
 * Sums of doubles with a compensation for what rounding loses (Kahan in Neumaier's variant), as
 * Prometheus sums: the result is sum + comp. An infinite sum has no compensation, else it would
 * become NaN.
 */
#ifndef QUERY_KAHAN_H
#define QUERY_KAHAN_H

#include <math.h>
#include <stdbool.h>

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

/* A running mean: a plain sum until that would overflow, from then on the mean itself, so that the
 * mean of numbers near the largest double is finite. Begin with {{first, 0}, 1, false}. */
struct mean {
    struct kahan k;
    double n;
    bool is_mean;
};

static inline void mean_add(struct mean *m, double v)
{
    m->n++;
    if (!m->is_mean) {
        struct kahan next = m->k;
        kahan_add(&next, v);
        if (!isinf(next.sum)) {
            m->k = next;
            return;
        }
        m->is_mean = true;
        m->k.sum /= m->n - 1;
        m->k.comp /= m->n - 1;
    }
    double share = (m->n - 1) / m->n;
    m->k.sum *= share;
    m->k.comp *= share;
    kahan_add(&m->k, v / m->n);
}

static inline double mean_result(const struct mean *m)
{
    return m->is_mean ? kahan_total(m->k) : m->k.sum / m->n + m->k.comp / m->n;
}

#endif

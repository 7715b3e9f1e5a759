#include "store/codec/decimal.h"

#include "base/double_bits.h"
#include "base/ensure.h"

#define SAMPLE 32
/* To so many adding 1.5 * 2^52 rounds to an integer, in the low bits of the sum. */
#define ROUND_LIMIT 0x1p51
#define ROUND_ADD   0x1.8p52
#define EXACT_LIMIT 0x1p53

static bool integer_of(uint64_t bits, unsigned e, int64_t *k)
{
    double x = bits_double(bits) * kernels_power[e];
    if (x > -ROUND_LIMIT && x < ROUND_LIMIT)
        *k = (int64_t)(double_bits(x + ROUND_ADD) - double_bits(ROUND_ADD));
    else if (x >= -EXACT_LIMIT && x <= EXACT_LIMIT)
        *k = (int64_t)x;
    else
        return false; /* NaN too */
    return double_bits((double)*k / kernels_power[e]) == bits;
}

/* Whether the value is a decimal with an exponent of at least *e, which is then set. */
static bool raise_exponent(uint64_t bits, unsigned *e)
{
    int64_t k;
    for (unsigned try = *e; try <= DECIMAL_MAX; try++)
        if (integer_of(bits, try, &k)) {
            *e = try;
            return true;
        }
    return false;
}

/* The exponent from m values, evenly taken from n; how many are no decimals. */
static size_t sample(const uint64_t *bits, size_t n, size_t m, unsigned *e)
{
    size_t others = 0;
    for (size_t i = 0; i < m && others <= m / 4; i++)
        others += !raise_exponent(bits[i * n / m], e);
    return others;
}

bool decimal_raise(const uint64_t *bits, size_t n, unsigned *e)
{
    int64_t k;
    unsigned tried = 0, before = *e;
    for (size_t i = 0; i < n && tried < 4; i++)
        if (!integer_of(bits[i], *e, &k)) {
            raise_exponent(bits[i], e);
            tried++;
        }
    return *e != before;
}

bool decimal_guess(const uint64_t *bits, size_t n, unsigned *e)
{
    size_t m = n < SAMPLE ? n : SAMPLE;
    *e = 0;
    return m > 0 && sample(bits, n, m, e) <= m / 4;
}

size_t decimal_integers(const uint64_t *bits, size_t n, unsigned e, int64_t *out, uint32_t *others)
{
    ensure(e <= DECIMAL_MAX);
    size_t n_others = 0;
    int64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t k;
        if (integer_of(bits[i], e, &k)) {
            if (n_others == i) /* the first: it stands for those before it too */
                for (size_t j = 0; j < i; j++)
                    out[j] = k;
            last = k;
        } else {
            if (others)
                others[n_others] = (uint32_t)i;
            n_others++;
        }
        out[i] = last;
    }
    return n_others;
}

void decimal_bits(int64_t *values, size_t n, unsigned e)
{
    ensure(e <= DECIMAL_MAX);
    kernels()->decimals((uint64_t *)values, n, e);
}

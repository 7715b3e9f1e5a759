/*
 * The writer of codec 1. A sample says which forms can be good, two blocks of each which of
 * those is the best, and that one is planned block by block and written. No memory but a plan on
 * the stack, whatever the number of values.
 */
#include <stdlib.h>
#include <string.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "store/codec/integers.h"

#define SAMPLE     32
#define BLOCKS_MAX ((STREAM_MAX + BLOCK_VALUES - 1) / BLOCK_VALUES)
/* Forms whose estimate is worse by more are not planned; 1/16 bits a value. */
#define ESTIMATE_MARGIN 8

/* How values become small unsigned numbers. */
struct form {
    unsigned mode;
    bool folded;
    uint64_t base, factor;
};

struct plan {
    struct form form;
    bool one_packing;
    struct packing packing;
    size_t bytes;
    struct block_plan blocks[BLOCKS_MAX];
};

/* How many values stand in the header. */
static size_t before(unsigned mode)
{
    return mode - MODE_FRAME;
}

static uint64_t number_at(const uint64_t *v, unsigned mode, size_t i)
{
    switch (mode) {
    case MODE_FRAME: return v[i];
    case MODE_DELTA: return v[i + 1] - v[i];
    default: return v[i + 2] - 2 * v[i + 1] + v[i];
    }
}

static void numbers(const uint64_t *v, unsigned mode, size_t n, uint64_t *out)
{
    if (mode == MODE_FRAME)
        memcpy(out, v, n * sizeof *out);
    else if (mode == MODE_DELTA)
        for (size_t i = 0; i < n; i++)
            out[i] = v[i + 1] - v[i];
    else
        for (size_t i = 0; i < n; i++)
            out[i] = v[i + 2] - 2 * v[i + 1] + v[i];
}

static void residuals(const uint64_t *v, const struct form *form, size_t n, uint64_t *out)
{
    numbers(v, form->mode, n, out);
    for (size_t i = 0; i < n; i++)
        out[i] -= form->base;
    if (form->folded) {
        if (form->factor != 1)
            for (size_t i = 0; i < n; i++)
                out[i] = (uint64_t)((int64_t)out[i] / (int64_t)form->factor);
        for (size_t i = 0; i < n; i++)
            out[i] = zigzag((int64_t)out[i]);
    } else if (form->factor != 1) {
        for (size_t i = 0; i < n; i++)
            out[i] /= form->factor;
    }
}

/* ---- the form ---- */

/* Where most of the numbers lie, and all of them. */
struct range {
    int64_t low, high; /* an eighth of the sample is below, an eighth above */
    unsigned estimate; /* of their width, 1/16 bits */
};

/* Number k, from 1 to KEPT_MAX, in the order of v[i] ^ flip: with flip -1 the greatest come first.
 */
#define KEPT_MAX (SAMPLE / 8 + 1)

static int64_t in_order(const int64_t *v, size_t n, size_t k, int64_t flip)
{
    int64_t kept[KEPT_MAX];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t x = v[i] ^ flip;
        if (m == k && x >= kept[m - 1])
            continue;
        size_t at = m < k ? m++ : m - 1;
        for (; at > 0 && kept[at - 1] > x; at--)
            kept[at] = kept[at - 1];
        kept[at] = x;
    }
    return kept[k - 1] ^ flip;
}

/* About 16 log2(v + 1). */
static unsigned log_of(uint64_t v)
{
    return (unsigned)(double_bits((double)v + 1) >> 48) - 1023 * 16;
}

static struct range sample(const uint64_t *v, unsigned mode, size_t n)
{
    int64_t x[SAMPLE];
    size_t m = n < SAMPLE ? n : SAMPLE;
    for (size_t i = 0; i < m; i++)
        x[i] = (int64_t)number_at(v, mode, m > 1 ? i * (n - 1) / (m - 1) : 0);
    struct range r = {in_order(x, m, m / 8 + 1, 0), in_order(x, m, m / 8 + 1, -1), 0};
    r.estimate = log_of((uint64_t)r.high - (uint64_t)r.low);
    return r;
}

static int64_t sub_or_min(int64_t a, uint64_t b)
{
    int64_t r;
    return b > INT64_MAX || __builtin_sub_overflow(a, (int64_t)b, &r) ? INT64_MIN : r;
}

static int64_t add_or_max(int64_t a, uint64_t b)
{
    int64_t r;
    return b > INT64_MAX || __builtin_add_overflow(a, (int64_t)b, &r) ? INT64_MAX : r;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t distance(uint64_t x, const struct form *form)
{
    uint64_t d = x - form->base;
    return form->folded && (int64_t)d < 0 ? -d : d;
}

/* The greatest factor of all numbers less the base. One as a rule, and known after a few. */
static uint64_t common_factor(const uint64_t *v, const struct form *form, size_t n)
{
    uint64_t factor = 0;
    for (size_t i = 0; i < n && factor != 1; i++) {
        uint64_t d = distance(number_at(v, form->mode, i), form);
        if (factor == 0 || d % factor != 0)
            factor = gcd(d, factor);
    }
    /* Folded ones are divided as signed numbers. */
    return factor == 0 || factor > INT64_MAX ? 1 : factor;
}

/* Least number of all, and the ends of those that lie near the range. */
struct ends {
    int64_t least, low, high;
};

static struct ends find_ends(const uint64_t *v, unsigned mode, size_t n, const struct range *range)
{
    uint64_t spread = (uint64_t)range->high - (uint64_t)range->low;
    uint64_t far = spread > UINT64_MAX / 2 ? UINT64_MAX : 2 * spread;
    int64_t from = sub_or_min(range->low, far), to = add_or_max(range->high, far);
    struct ends e = {range->low, range->low, range->high};
    uint64_t x[BLOCK_VALUES];
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < BLOCK_VALUES ? n - i : BLOCK_VALUES;
        numbers(v + i, mode, m, x);
        for (size_t k = 0; k < m; k++) {
            int64_t y = (int64_t)x[k];
            e.least = y < e.least ? y : e.least;
            e.low = y < e.low && y >= from ? y : e.low;
            e.high = y > e.high && y <= to ? y : e.high;
        }
    }
    return e;
}

/* ---- the plan ---- */

static size_t varint_bytes(uint64_t v)
{
    return v ? (bit_length(v) + 6) / 7 : 1;
}

static size_t header_bytes(const uint64_t *v, const struct form *form)
{
    size_t bytes = 1 + varint_bytes(zigzag((int64_t)form->base));
    if (form->factor != 1)
        bytes += varint_bytes(form->factor);
    if (form->mode >= MODE_DELTA)
        bytes += varint_bytes(zigzag((int64_t)v[0]));
    if (form->mode == MODE_DELTA2)
        bytes += varint_bytes(zigzag((int64_t)(v[1] - v[0])));
    return bytes;
}

static size_t block_count(size_t n)
{
    return (n + BLOCK_VALUES - 1) / BLOCK_VALUES;
}

static size_t block_values(size_t n, size_t b)
{
    size_t left = n - b * BLOCK_VALUES;
    return left < BLOCK_VALUES ? left : BLOCK_VALUES;
}

/* One packing for all blocks, when that takes no more. */
static void try_one_packing(struct plan *plan, size_t n, uint64_t max, size_t blocks_bytes)
{
    struct packing packing = packing_of(max);
    size_t whole = n / BLOCK_VALUES, rest = n % BLOCK_VALUES;
    size_t bytes = packing_code_bytes(packing) + whole * packing_bytes(packing, BLOCK_VALUES) +
                   packing_bytes(packing, rest);
    plan->one_packing = bytes <= blocks_bytes;
    plan->packing = packing;
    plan->bytes += plan->one_packing ? bytes : blocks_bytes;
}

static void plan_form(const uint64_t *v, size_t n, const struct form *form, struct plan *plan)
{
    uint64_t x[BLOCK_VALUES], max = 0;
    size_t bytes = 0;
    n -= before(form->mode);
    plan->form = *form;
    for (size_t b = 0; b < block_count(n); b++) {
        size_t m = block_values(n, b);
        residuals(v + b * BLOCK_VALUES, &plan->form, m, x);
        for (size_t i = 0; i < m; i++)
            max = x[i] > max ? x[i] : max;
        block_plan(x, m, &plan->blocks[b]);
        bytes += plan->blocks[b].bytes;
    }
    plan->bytes = header_bytes(v, &plan->form);
    try_one_packing(plan, n, max, bytes);
}

/* What a form takes, from two of its blocks. */
static size_t guess_bytes(const uint64_t *v, size_t n, const struct form *form)
{
    uint64_t x[BLOCK_VALUES];
    struct block_plan plan;
    n -= before(form->mode);
    size_t blocks = block_count(n), step = (blocks + 1) / 2, bytes = 0, values = 0;
    for (size_t b = (step - 1) / 2; b < blocks; b += step) {
        size_t m = block_values(n, b);
        residuals(v + b * BLOCK_VALUES, form, m, x);
        block_plan(x, m, &plan);
        bytes += plan.bytes;
        values += m;
    }
    return header_bytes(v, form) + bytes * n / values;
}

#define FORMS_MAX 6

/* The forms that can be good. */
static size_t find_forms(const uint64_t *v, size_t n, struct form forms[FORMS_MAX])
{
    struct range ranges[MODE_DELTA2 + 1];
    unsigned least = UINT32_MAX, last = n > 2 ? MODE_DELTA2 : MODE_DELTA;
    size_t n_forms = 0;
    for (unsigned mode = MODE_FRAME; mode <= last; mode++) {
        ranges[mode] = sample(v, mode, n - before(mode));
        least = ranges[mode].estimate < least ? ranges[mode].estimate : least;
    }
    for (unsigned mode = MODE_FRAME; mode <= last; mode++) {
        if (ranges[mode].estimate > least + ESTIMATE_MARGIN)
            continue;
        struct ends ends = find_ends(v, mode, n - before(mode), &ranges[mode]);
        struct form form = {mode, false, (uint64_t)ends.least, 1};
        forms[n_forms++] = form;
        if (ends.least >= ends.low)
            continue;
        uint64_t width = (uint64_t)ends.high - (uint64_t)ends.low;
        form.folded = true;
        form.base = (uint64_t)ends.low + width / 2 + width % 2;
        forms[n_forms++] = form;
    }
    for (size_t i = 0; i < n_forms; i++)
        forms[i].factor = common_factor(v, &forms[i], n - before(forms[i].mode));
    return n_forms;
}

static void find_plan(const uint64_t *v, size_t n, struct plan *plan)
{
    struct form forms[FORMS_MAX];
    size_t n_forms = find_forms(v, n, forms), best = 0, least = SIZE_MAX;
    ensure(n_forms > 0);
    for (size_t i = 0; n_forms > 1 && i < n_forms; i++) {
        size_t bytes = guess_bytes(v, n, &forms[i]);
        best = bytes < least ? i : best;
        least = bytes < least ? bytes : least;
    }
    plan_form(v, n, &forms[best], plan);
}

/* ---- writing ---- */

static void put_plan(const struct plan *plan, const uint64_t *v, size_t n, struct buf *out)
{
    const struct form *form = &plan->form;
    uint64_t x[BLOCK_VALUES];
    buf_u8(out,
        (uint8_t)(form->mode | (form->factor != 1 ? HEAD_FACTOR : 0) |
                  (plan->one_packing ? HEAD_ONE_PACKING : 0) | (form->folded ? HEAD_FOLDED : 0)));
    if (form->factor != 1)
        buf_varint(out, form->factor);
    if (form->mode >= MODE_DELTA)
        buf_svarint(out, (int64_t)v[0]);
    if (form->mode == MODE_DELTA2)
        buf_svarint(out, (int64_t)(v[1] - v[0]));
    buf_svarint(out, (int64_t)form->base);
    if (plan->one_packing)
        packing_put(plan->packing, out);
    n -= before(form->mode);
    for (size_t b = 0; b < block_count(n); b++) {
        size_t m = block_values(n, b);
        residuals(v + b * BLOCK_VALUES, form, m, x);
        if (plan->one_packing)
            packing_put_values(plan->packing, x, m, out);
        else
            block_put(&plan->blocks[b], x, m, out);
    }
}

static bool put_line(const uint64_t *v, size_t n, struct buf *out)
{
    uint64_t difference = n > 1 ? v[1] - v[0] : 0, folded = zigzag((int64_t)v[0]);
    for (size_t i = 2; i < n; i++)
        if (v[i] - v[i - 1] != difference)
            return false;
    if (difference != 0) {
        buf_u8(out, MODE_LINE);
        buf_svarint(out, (int64_t)v[0]);
        buf_svarint(out, (int64_t)difference);
    } else if (folded < HEAD_SMALL_NONE) {
        buf_u8(out, (uint8_t)(MODE_CONSTANT | folded << HEAD_SMALL_SHIFT));
    } else {
        buf_u8(out, MODE_CONSTANT | HEAD_SMALL_NONE << HEAD_SMALL_SHIFT);
        buf_svarint(out, (int64_t)v[0]);
    }
    return true;
}

void integers_encode(const int64_t *values, size_t n, struct buf *out)
{
    const uint64_t *v = (const uint64_t *)values;
    ensure(n <= STREAM_MAX);
    kernels(); /* and with it the radices */
    if (n == 0 || put_line(v, n, out))
        return;
    struct plan plan;
    size_t at = out->len;
    find_plan(v, n, &plan);
    put_plan(&plan, v, n, out);
    ensure(out->failed || out->len - at == plan.bytes);
}

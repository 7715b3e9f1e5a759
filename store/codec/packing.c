#include "store/codec/packing.h"

#include <string.h>

#include "base/ensure.h"
#include "store/codec/radix.h"

enum { CODE_RADIX = 65, CODE_RADIX_FOLLOWS = 127, CODE_PATCHED = 128 };
#define CODE_RADIX_LAST (CODE_RADIX + 61) /* radix 64 */

#define MASK(bits) ((bits) < 64 ? (UINT64_C(1) << (bits)) - 1 : UINT64_MAX)

static struct packing by_width(unsigned bits)
{
    return (struct packing){0, 1, (uint8_t)bits};
}

static struct packing by_radix(unsigned radix)
{
    const struct radix_split *s = radix_split(radix);
    return (struct packing){(uint16_t)radix, s->digits, s->bits};
}

static size_t n_groups(struct packing packing, size_t n)
{
    return packing.digits == 1 ? n : (n + packing.digits - 1) / packing.digits;
}

/* Numbers of `bits` bits each. */
static size_t bits_bytes(unsigned bits, size_t n)
{
    return (n * bits + 7) / 8;
}

size_t packing_bytes(struct packing packing, size_t n)
{
    return bits_bytes(packing.bits, n_groups(packing, n));
}

size_t packing_code_bytes(struct packing packing)
{
    return packing.radix > 64 ? 3 : 1;
}

/* ---- writing ---- */

struct packing packing_of(uint64_t max)
{
    struct packing width = by_width(bit_length(max));
    if (max < RADIX_MIN - 1 || max >= RADIX_MAX)
        return width;
    struct packing radix = by_radix((unsigned)max + 1);
    return packing_bytes(radix, BLOCK_VALUES) < packing_bytes(width, BLOCK_VALUES) ? radix : width;
}

static uint8_t code_of(struct packing packing)
{
    if (packing.radix == 0)
        return packing.bits;
    return packing.radix <= 64 ? (uint8_t)(packing.radix - RADIX_MIN + CODE_RADIX)
                               : CODE_RADIX_FOLLOWS;
}

static void put_code(struct packing packing, bool patched, struct buf *out)
{
    uint8_t code = code_of(packing);
    buf_u8(out, patched ? code | CODE_PATCHED : code);
    if (code == CODE_RADIX_FOLLOWS)
        buf_le16(out, packing.radix);
}

void packing_put(struct packing packing, struct buf *out)
{
    put_code(packing, false, out);
}

static void put_bits(const uint64_t *values, size_t n, unsigned bits, struct buf *out)
{
    size_t bytes = bits_bytes(bits, n);
    uint8_t *p = (uint8_t *)buf_reserve(out, bytes + 8);
    if (!p)
        return;
    uint64_t word = 0;
    unsigned filled = 0;
    for (size_t i = 0; i < n; i++) {
        word |= values[i] << filled;
        filled += bits;
        if (filled < 64)
            continue;
        le64_put(p, word);
        p += 8;
        filled -= 64;
        word = filled ? values[i] >> (bits - filled) : 0;
    }
    le64_put(p, word);
    out->len += bytes;
}

void packing_put_values(struct packing packing, const uint64_t *values, size_t n, struct buf *out)
{
    if (packing.digits == 1) {
        put_bits(values, n, packing.bits, out);
        return;
    }
    uint64_t groups[BLOCK_VALUES];
    size_t m = n_groups(packing, n), full = n;
    memset(groups, 0, m * sizeof *groups);
    for (unsigned d = packing.digits; d-- > 0;)
        for (size_t i = m * d, g = 0; g < m; i++, g++)
            groups[g] = groups[g] * packing.radix + (i < full ? values[i] : 0);
    put_bits(groups, m, packing.bits, out);
}

static uint64_t high_of(struct packing packing, uint64_t value)
{
    return packing.radix ? value / packing.radix : value >> packing.bits;
}

static uint64_t low_of(struct packing packing, uint64_t value)
{
    return packing.radix ? value % packing.radix : value & MASK(packing.bits);
}

/* Takes the packing when it is smaller than the best so far. */
static void consider(
    struct block_plan *best, struct packing packing, size_t n, uint64_t max, unsigned n_patches)
{
    unsigned high_bits = 0;
    size_t bytes = packing_code_bytes(packing) + packing_bytes(packing, n);
    if (n_patches) {
        high_bits = bit_length(high_of(packing, max) - 1);
        bytes += 2 + bits_bytes(7, n_patches) + bits_bytes(high_bits, n_patches);
    }
    if (bytes < best->bytes)
        *best =
            (struct block_plan){packing, (uint8_t)n_patches, (uint8_t)high_bits, (uint32_t)bytes};
}

/* Every radix one above a value that occurs, from the largest not above `limit` down, for as long
 * as patches leave a chance. */
static void consider_radices(
    struct block_plan *best, const uint64_t *values, size_t n, uint64_t max, unsigned limit)
{
    uint8_t count[256] = {0};
    unsigned above = (unsigned)n;
    for (size_t i = 0; i < n; i++)
        if (values[i] <= limit) {
            count[values[i]]++;
            above--;
        }
    for (unsigned v = limit; v >= RADIX_MIN - 1 && bits_bytes(7, above) < best->bytes; v--) {
        if (!count[v])
            continue;
        size_t least = bits_bytes(7, above) + bits_bytes(bit_length(v + 1) - 1, n);
        if (least < best->bytes)
            consider(best, by_radix(v + 1), n, max, above);
        above += count[v];
    }
}

void block_plan(const uint64_t *values, size_t n, struct block_plan *plan)
{
    /* Values by their bits; in two halves, so that neighbours do not wait for each other. */
    uint8_t count[65] = {0}, odd[65] = {0};
    uint64_t max = 0;
    for (size_t i = 0; i < n; i++) {
        (i & 1 ? odd : count)[bit_length(values[i])]++;
        max = values[i] > max ? values[i] : max;
    }
    *plan = (struct block_plan){.bytes = UINT32_MAX};
    consider(plan, by_width(bit_length(max)), n, max, 0);
    unsigned above = 0;
    for (unsigned bits = bit_length(max); bits > 0 && bits_bytes(7, above) < plan->bytes; bits--) {
        above += (unsigned)count[bits] + odd[bits];
        consider(plan, by_width(bits - 1), n, max, above);
    }
    /* A tight radix near the best width. */
    unsigned bits = plan->packing.bits + 1, beyond = 0;
    uint64_t limit = plan->n_patches ? 0 : max;
    for (size_t i = 0; plan->n_patches && i < n; i++)
        if (bit_length(values[i]) > bits)
            beyond++;
        else if (values[i] > limit)
            limit = values[i];
    if (limit < 256)
        consider_radices(plan, values, n, max, (unsigned)limit);
    else if (limit < RADIX_MAX)
        consider(plan, by_radix((unsigned)limit + 1), n, max, beyond);
}

static void put_patches(const struct block_plan *plan, uint64_t *values, size_t n, struct buf *out)
{
    uint64_t position[BLOCK_VALUES], high[BLOCK_VALUES];
    size_t n_patches = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = high_of(plan->packing, values[i]);
        if (h == 0)
            continue;
        position[n_patches] = i;
        high[n_patches++] = h - 1;
        values[i] = low_of(plan->packing, values[i]);
    }
    ensure(n_patches == plan->n_patches);
    buf_u8(out, plan->n_patches);
    buf_u8(out, plan->high_bits);
    put_bits(position, n_patches, 7, out);
    put_bits(high, n_patches, plan->high_bits, out);
}

void block_put(const struct block_plan *plan, const uint64_t *values, size_t n, struct buf *out)
{
    uint64_t low[BLOCK_VALUES];
    put_code(plan->packing, plan->n_patches > 0, out);
    if (plan->n_patches) {
        memcpy(low, values, n * sizeof *low);
        put_patches(plan, low, n, out);
        values = low;
    }
    packing_put_values(plan->packing, values, n, out);
}

/* ---- reading ---- */

bool packing_get(struct reader *in, struct packing *packing, bool *patched)
{
    uint8_t code = read_u8(in);
    unsigned radix = 0;
    *patched = code & CODE_PATCHED;
    code &= CODE_PATCHED - 1;
    if (code == CODE_RADIX_FOLLOWS) {
        radix = read_le16(in);
        if (radix < RADIX_MIN || radix > RADIX_MAX)
            return false;
    } else if (code >= CODE_RADIX) {
        radix = code - CODE_RADIX + RADIX_MIN;
    }
    if (in->failed || (*patched && code == 64))
        return false;
    *packing = radix ? by_radix(radix) : by_width(code);
    return true;
}

/* n numbers of `bits` bits off the front of in: a pointer that kernels may read, for which `copy`
 * has room. NULL at the end of in. */
static const uint8_t *take_bits(struct reader *in, unsigned bits, size_t n, uint8_t *copy)
{
    size_t bytes = bits_bytes(bits, n);
    if (in->failed || reader_left(in) < bytes)
        return NULL;
    const uint8_t *p = in->at;
    bool roomy = reader_left(in) >= bytes + KERNEL_SLACK;
    in->at += bytes;
    if (roomy)
        return p;
    memcpy(copy, p, bytes);
    memset(copy + bytes, 0, KERNEL_SLACK);
    return copy;
}

static bool get_wide(
    struct reader *in, const struct kernels *k, unsigned bits, size_t n, uint64_t *out)
{
    uint8_t copy[BLOCK_VALUES * 8 + KERNEL_SLACK];
    const uint8_t *src = take_bits(in, bits, n, copy);
    if (src)
        k->unpack64(src, bits, n, out);
    return src != NULL;
}

static bool get_narrow(
    struct reader *in, const struct kernels *k, unsigned bits, size_t n, uint32_t *out)
{
    uint8_t copy[BLOCK_VALUES * 4 + KERNEL_SLACK];
    if (bits == 0) {
        memset(out, 0, n * sizeof *out);
        return true;
    }
    const uint8_t *src = take_bits(in, bits, n, copy);
    if (src)
        k->unpack32(src, bits, n, out);
    return src != NULL;
}

void block_widen(const struct kernels *k, struct block *block, size_t n)
{
    if (!block->wide)
        k->add32(block->narrow, n, 0, block->values);
    block->wide = true;
}

struct patches {
    size_t n;
    unsigned high_bits;
    uint32_t position[BLOCK_VALUES + KERNEL_ROOM];
    uint64_t high[BLOCK_VALUES + KERNEL_ROOM];
};

static bool get_patches(
    struct reader *in, const struct kernels *k, size_t n, struct patches *patches)
{
    patches->n = read_u8(in);
    unsigned high_bits = patches->high_bits = read_u8(in);
    if (in->failed || patches->n > n || high_bits > 64 ||
        !get_narrow(in, k, 7, patches->n, patches->position))
        return false;
    for (size_t i = 0; i < patches->n; i++)
        if (patches->position[i] >= n ||
            (i > 0 && patches->position[i] <= patches->position[i - 1]))
            return false;
    if (high_bits > 32)
        return get_wide(in, k, high_bits, patches->n, patches->high);
    uint32_t high[BLOCK_VALUES + KERNEL_ROOM];
    if (!get_narrow(in, k, high_bits, patches->n, high))
        return false;
    k->add32(high, patches->n, 0, patches->high);
    return true;
}

static bool get_groups(struct reader *in, const struct kernels *k, struct packing packing, size_t n,
    struct block *block)
{
    size_t m = n_groups(packing, n);
    block->wide = packing.bits > 32;
    if (block->wide)
        return get_wide(in, k, packing.bits, n, block->values);
    if (packing.digits == 1)
        return get_narrow(in, k, packing.bits, n, block->narrow);
    if (!get_narrow(in, k, packing.bits, m, block->groups))
        return false;
    k->split(block->groups, m, packing.radix, block->narrow);
    return true;
}

bool packing_get_values(struct reader *in, const struct kernels *k, struct packing packing,
    bool patched, size_t n, struct block *block)
{
    struct patches patches;
    if (!patched)
        return get_groups(in, k, packing, n, block);
    if (!get_patches(in, k, n, &patches) || !get_groups(in, k, packing, n, block))
        return false;
    uint64_t span = packing.radix ? packing.radix : UINT64_C(1) << packing.bits;
    if (!block->wide && patches.high_bits + bit_length(span) < 31) {
        for (size_t i = 0; i < patches.n; i++)
            block->narrow[patches.position[i]] += (uint32_t)((patches.high[i] + 1) * span);
        return true;
    }
    block_widen(k, block, n);
    for (size_t i = 0; i < patches.n; i++)
        block->values[patches.position[i]] += (patches.high[i] + 1) * span;
    return true;
}

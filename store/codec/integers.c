#include "store/codec/integers.h"

/* What stands before the blocks of modes frame, delta and delta 2. */
struct header {
    unsigned mode;
    bool folded, one_packing;
    uint64_t factor, base;
    uint64_t value, difference; /* so far; of delta and delta 2 */
    struct packing packing;     /* one for all */
};

static bool get_header(struct reader *in, uint8_t head, struct header *h)
{
    bool patched = false;
    h->mode = head & HEAD_MODE;
    h->folded = head & HEAD_FOLDED;
    h->one_packing = head & HEAD_ONE_PACKING;
    if (h->mode > MODE_DELTA2 || head & ~(HEAD_MODE | HEAD_FACTOR | HEAD_ONE_PACKING | HEAD_FOLDED))
        return false;
    h->factor = head & HEAD_FACTOR ? read_varint(in) : 1;
    h->value = h->mode >= MODE_DELTA ? (uint64_t)read_svarint(in) : 0;
    h->difference = h->mode == MODE_DELTA2 ? (uint64_t)read_svarint(in) : 0;
    h->base = (uint64_t)read_svarint(in);
    if (h->one_packing && !packing_get(in, &h->packing, &patched))
        return false;
    return !in->failed && !patched && h->factor != 0;
}

static void multiply(uint64_t *values, size_t n, uint64_t factor)
{
    for (size_t i = 0; i < n; i++)
        values[i] *= factor;
}

/* Values of the block, which follow those that the header stands at. */
static void restore(
    const struct kernels *k, struct header *h, struct block *block, size_t n, uint64_t *out)
{
    if (h->folded || h->factor != 1)
        block_widen(k, block, n);
    if (h->folded)
        k->unfold(block->values, n);
    if (h->factor != 1)
        multiply(block->values, n, h->factor);
    if (h->mode == MODE_FRAME) {
        uint64_t base = h->base;
        if (!block->wide)
            k->add32(block->narrow, n, base, out);
        for (size_t i = 0; block->wide && i < n; i++)
            out[i] = block->values[i] + base;
        return;
    }
    uint64_t *sum = h->mode == MODE_DELTA ? &h->value : &h->difference;
    if (block->wide)
        k->sum64(block->values, n, h->base, sum, out);
    else
        k->sum32(block->narrow, n, h->base, sum, out);
    if (h->mode == MODE_DELTA2)
        k->sum64(out, n, 0, &h->value, out);
}

static bool get_blocks(struct reader *in, uint8_t head, size_t n, uint64_t *out)
{
    const struct kernels *k = kernels();
    struct header h;
    struct block block;
    if (!get_header(in, head, &h))
        return false;
    size_t i = 0, before = h.mode - MODE_FRAME;
    if (n <= before)
        return false;
    if (h.mode >= MODE_DELTA)
        out[i++] = h.value;
    if (h.mode == MODE_DELTA2)
        out[i++] = h.value += h.difference;
    for (size_t count; i < n; i += count) {
        bool patched = false;
        count = n - i < BLOCK_VALUES ? n - i : BLOCK_VALUES;
        if (!h.one_packing && !packing_get(in, &h.packing, &patched))
            return false;
        if (!packing_get_values(in, k, h.packing, patched, count, &block))
            return false;
        restore(k, &h, &block, count, out + i);
    }
    return true;
}

static bool get_constant(struct reader *in, uint8_t head, size_t n, int64_t *out)
{
    unsigned small = head >> HEAD_SMALL_SHIFT;
    int64_t value = small == HEAD_SMALL_NONE ? read_svarint(in) : unzigzag(small);
    for (size_t i = 0; i < n; i++)
        out[i] = value;
    return !in->failed;
}

static bool get_line(struct reader *in, uint8_t head, size_t n, int64_t *out)
{
    uint64_t value = (uint64_t)read_svarint(in), difference = (uint64_t)read_svarint(in);
    for (size_t i = 0; i < n; i++, value += difference)
        out[i] = (int64_t)value;
    return !in->failed && head == MODE_LINE;
}

bool integers_decode(struct reader *in, size_t n, int64_t *out)
{
    if (n > STREAM_MAX || in->failed)
        return false;
    if (n == 0)
        return true;
    uint8_t head = read_u8(in);
    if (in->failed)
        return false;
    switch (head & HEAD_MODE) {
    case MODE_CONSTANT: return get_constant(in, head, n, out);
    case MODE_LINE: return get_line(in, head, n, out);
    default: return get_blocks(in, head, n, (uint64_t *)out);
    }
}

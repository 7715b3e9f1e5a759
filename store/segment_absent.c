#include "store/segment.h"
__attribute__((weak)) bool segment_write(
    const char *d, const struct segment_input *i, struct segment_info *o, struct err *e)
{
    (void)d;
    (void)i;
    (void)o;
    return err_set(e, ERR_UNSUPPORTED, "not supported yet: segments");
}
__attribute__((weak)) bool segment_open(const char *p, struct segment **o, struct err *e)
{
    (void)p;
    (void)o;
    return err_set(e, ERR_UNSUPPORTED, "not supported yet: segments");
}
__attribute__((weak)) struct segment *segment_get(struct segment *s)
{
    return s;
}
__attribute__((weak)) void segment_put(struct segment **s)
{
    (void)s;
}
__attribute__((weak)) const struct segment_info *segment_info(const struct segment *s)
{
    (void)s;
    return 0;
}
__attribute__((weak)) struct labels segment_labels(const struct segment *s, uint32_t o)
{
    (void)s;
    (void)o;
    return (struct labels){0};
}
__attribute__((weak)) const struct metric_def *segment_metric(const struct segment *s, uint32_t o)
{
    (void)s;
    (void)o;
    return 0;
}
__attribute__((weak)) size_t segment_chunks(const struct segment *s, uint32_t o)
{
    (void)s;
    (void)o;
    return 0;
}
__attribute__((weak)) void segment_chunk(
    const struct segment *s, uint32_t o, size_t c, struct chunk_info *i)
{
    (void)s;
    (void)o;
    (void)c;
    (void)i;
}
__attribute__((weak)) bool segment_read(const struct segment *s, uint32_t o, size_t c,
    struct arena *a, struct columns *x, struct err *e)
{
    (void)s;
    (void)o;
    (void)c;
    (void)a;
    (void)x;
    (void)e;
    return false;
}

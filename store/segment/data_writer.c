#include "store/segment/data_writer.h"

#include "base/ensure.h"

void data_writer_init(struct data_writer *writer, struct outfile *file, struct page_index *index)
{
    *writer = (struct data_writer){.file = file, .index = index};
}

void data_writer_fini(struct data_writer *writer)
{
    for (int type = 0; type <= PAGE_HIST; type++)
        buf_fini(&writer->raw[type]);
    buf_fini(&writer->stored);
    buf_fini(&writer->digest);
}

static bool flush_one(struct data_writer *w, uint8_t type, struct err *err)
{
    struct buf *raw = &w->raw[type];
    buf_clear(&w->stored);
    page_put(&w->stored, type, buf_view(raw));
    digest_page(&w->digest, type, buf_view(raw));
    w->crc = crc32c(w->crc, w->stored.ptr, w->stored.len);
    page_index_add(w->index, &(struct page_ref){.offset = w->file->bytes,
                                 .bytes = (uint32_t)w->stored.len,
                                 .raw_bytes = (uint32_t)raw->len,
                                 .type = type,
                                 .stored = type});
    buf_clear(raw);
    return outfile_add(w->file, buf_view(&w->stored), err);
}

/* Writes the open pages up to this number, in the order of their numbers. */
static bool flush(struct data_writer *w, uint32_t number, struct err *err)
{
    while (w->index->n <= number) {
        uint8_t type = PAGE_TIMES;
        while (w->raw[type].len == 0 || w->number[type] != w->index->n)
            ensure(++type <= PAGE_HIST);
        if (!flush_one(w, type, err))
            return false;
    }
    return true;
}

bool data_writer_add(struct data_writer *writer, enum page_type type, struct slice bytes,
    uint32_t *page, uint32_t *offset, struct err *err)
{
    struct buf *raw = &writer->raw[type];
    ensure(bytes.len > 0 && bytes.len <= PAGE_RAW_MAX);
    if (raw->len && raw->len + bytes.len > PAGE_RAW_TARGET &&
        !flush(writer, writer->number[type], err))
        return false;
    if (raw->len == 0)
        writer->number[type] = writer->n_begun++;
    *page = writer->number[type];
    *offset = (uint32_t)raw->len;
    buf_slice(raw, bytes);
    return true;
}

bool data_writer_finish(struct data_writer *writer, struct err *err)
{
    return writer->n_begun == 0 || flush(writer, writer->n_begun - 1, err);
}

#include "store/segment/data_writer.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

void data_writer_init(struct data_writer *writer, struct outfile *file)
{
    *writer = (struct data_writer){.file = file};
}

void data_writer_fini(struct data_writer *writer)
{
    for (int type = 0; type <= PAGE_HIST; type++)
        buf_fini(&writer->raw[type]);
    buf_fini(&writer->stored);
    buf_fini(&writer->digest);
    free(writer->pages);
}

static bool flush(struct data_writer *w, enum page_type type, struct err *err)
{
    struct buf *raw = &w->raw[type];
    if (raw->len == 0)
        return true;
    buf_clear(&w->stored);
    page_put(&w->stored, type, buf_view(raw));
    digest_page(&w->digest, (uint8_t)type, buf_view(raw));
    w->crc = crc32c(w->crc, w->stored.ptr, w->stored.len);
    w->pages[w->number[type]] = (struct data_page){.offset = w->file->bytes,
        .bytes = (uint32_t)w->stored.len,
        .raw_bytes = (uint32_t)raw->len,
        .type = (uint8_t)type};
    buf_clear(raw);
    return outfile_add(w->file, buf_view(&w->stored), err);
}

bool data_writer_add(struct data_writer *writer, enum page_type type, struct slice bytes,
    uint32_t *page, uint32_t *offset, struct err *err)
{
    struct buf *raw = &writer->raw[type];
    ensure(bytes.len > 0 && bytes.len <= PAGE_RAW_MAX);
    if (raw->len && raw->len + bytes.len > PAGE_RAW_TARGET && !flush(writer, type, err))
        return false;
    if (raw->len == 0) {
        writer->number[type] = (uint32_t)writer->n_pages;
        GROW(writer->pages, writer->pages_cap, writer->n_pages + 1);
        writer->n_pages++;
    }
    *page = writer->number[type];
    *offset = (uint32_t)raw->len;
    buf_slice(raw, bytes);
    return true;
}

bool data_writer_finish(
    struct data_writer *writer, struct directory_writer *directory, struct err *err)
{
    for (int type = PAGE_TIMES; type <= PAGE_HIST; type++)
        if (!flush(writer, (enum page_type)type, err))
            return false;
    for (size_t i = 0; i < writer->n_pages; i++)
        directory_add_page(directory, &writer->pages[i]);
    return true;
}

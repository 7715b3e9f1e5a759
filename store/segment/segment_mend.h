/*
 * Mending: a damaged segment as a file that opens. Where the header, the footer or the index of
 * pages is damaged, it is made anew in memory, in front of and behind the pages of the file, which
 * stay as they are:
 *
 *     header    what the file's name, the footer and its own bytes say, when its checksum or, where
 *               every page is whole, the content id proves it; of raw segments that the caller
 *               knows to be raw the name is enough
 *     index     of what the pages say of themselves (page_scan.h)
 *     footer    counted from the directory; the times of the cells are those of the time block
 *
 * What is damaged besides is met by who reads it. Of version 1 the header alone can be mended.
 */
#ifndef STORE_SEGMENT_SEGMENT_MEND_H
#define STORE_SEGMENT_SEGMENT_MEND_H

#include "store/segment.h"

/* The file is closed with what is made of it, or when there is nothing to be made of it. */
bool segment_mend(const char *path, const struct segment_file *file_take, int64_t resolution_ms,
    struct segment **out, struct err *err);

#endif

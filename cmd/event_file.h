/*
 * A file of events: one message in a line, empty lines left out. What of a line is too long to be
 * an event is read over, so memory is bounded whatever the file holds.
 */
#ifndef CMD_EVENT_FILE_H
#define CMD_EVENT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct event_file {
    const char *name;      /* as it is told; "-": standard input */
    const char *separator; /* what stands before it in a line is the key; NULL: there are no keys */
    bool hex;              /* messages are written in hexadecimal */
    FILE *file;
    struct buf line;
    uint64_t number;         /* of the line, from 1 */
    struct slice key, value; /* borrowed until the next call; key.ptr NULL: it has none */
    size_t value_column;     /* of the value in its line, from 1 */
};

/* name, separator and hex are set. ERR_IO. */
bool event_file_open(struct event_file *file, struct err *err);
void event_file_close(struct event_file *file);

/* The next event. *end: there is none. ERR_IO; ERR_INVALID, with the line: it is no hexadecimal, or
 * has no key. */
bool event_file_next(struct event_file *file, bool *end, struct err *err);

#endif

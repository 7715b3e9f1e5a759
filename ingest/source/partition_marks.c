/*
 * Stored, each number a varint:
 *
 *     flags | fingerprint: offset + 1, hash (8 bytes) | holes: count, lost, kept, {from, to}
 *     | changes: count, kept, {at_ms, who, what}
 */
#include "ingest/source/partition_marks.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define FLAG_PAUSED   1
#define FLAG_GIVEN_UP 2

static size_t kept(uint64_t n, size_t most)
{
    return n < most ? (size_t)n : most;
}

size_t marks_holes_kept(const struct partition_marks *marks)
{
    return kept(marks->n_holes, HOLES_KEPT);
}

size_t marks_changes_kept(const struct partition_marks *marks)
{
    return kept(marks->n_changes, CHANGES_KEPT);
}

void marks_init(struct partition_marks *marks)
{
    *marks = (struct partition_marks){.print = FINGERPRINT_NONE};
}

void marks_hole(struct partition_marks *marks, int64_t from, int64_t to)
{
    if (from >= to)
        return;
    memmove(marks->holes + 1, marks->holes, sizeof marks->holes - sizeof marks->holes[0]);
    marks->holes[0] = (struct hole){from, to};
    marks->n_holes++;
    marks->lost += (uint64_t)(to - from);
}

/* Names come from elsewhere, and go to logs and terminals. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void marks_change(struct partition_marks *marks, int64_t at_ms, struct slice who, const char *what)
{
    struct operator_change *change = &marks->changes[0];
    size_t n = who.len < CHANGE_WHO ? who.len : CHANGE_WHO - 1;
    memmove(marks->changes + 1, marks->changes, sizeof marks->changes - sizeof marks->changes[0]);
    *change = (struct operator_change){.at_ms = at_ms};
    memcpy(change->who, who.ptr, n);
    make_plain(change->who);
    snprintf(change->what, sizeof change->what, "%s", what);
    marks->n_changes++;
}

void marks_encode(const struct partition_marks *marks, struct buf *out)
{
    buf_varint(out, (marks->paused ? FLAG_PAUSED : 0) | (marks->given_up ? FLAG_GIVEN_UP : 0));
    buf_varint(out, (uint64_t)(marks->print.offset + 1));
    buf_le64(out, marks->print.hash);
    buf_varint(out, marks->n_holes);
    buf_varint(out, marks->lost);
    size_t n = marks_holes_kept(marks);
    buf_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_svarint(out, marks->holes[i].from);
        buf_svarint(out, marks->holes[i].to);
    }
    buf_varint(out, marks->n_changes);
    n = marks_changes_kept(marks);
    buf_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_svarint(out, marks->changes[i].at_ms);
        buf_lstr(out, slice_from(marks->changes[i].who));
        buf_lstr(out, slice_from(marks->changes[i].what));
    }
}

static void read_text(struct reader *r, char *to, size_t size)
{
    struct slice text = read_lstr(r);
    size_t n = text.len < size ? text.len : size - 1;
    if (n)
        memcpy(to, text.ptr, n);
    to[n] = 0;
}

bool marks_decode(struct slice text, struct partition_marks *out)
{
    struct reader r = reader_of(text);
    marks_init(out);
    uint64_t flags = read_varint(&r);
    out->paused = flags & FLAG_PAUSED;
    out->given_up = flags & FLAG_GIVEN_UP;
    out->print.offset = (int64_t)(read_varint(&r) - 1);
    out->print.hash = read_le64(&r);
    out->n_holes = read_varint(&r);
    out->lost = read_varint(&r);
    uint64_t n = read_varint(&r);
    bool sound = n <= HOLES_KEPT && n <= out->n_holes;
    for (size_t i = 0; sound && i < n; i++) {
        out->holes[i].from = read_svarint(&r);
        out->holes[i].to = read_svarint(&r);
    }
    out->n_changes = sound ? read_varint(&r) : 0;
    n = sound ? read_varint(&r) : 0;
    sound = sound && n <= CHANGES_KEPT && n <= out->n_changes;
    for (size_t i = 0; sound && i < n; i++) {
        out->changes[i].at_ms = read_svarint(&r);
        read_text(&r, out->changes[i].who, CHANGE_WHO);
        read_text(&r, out->changes[i].what, CHANGE_WHAT);
    }
    sound = sound && !r.failed && out->print.offset >= -1;
    if (!sound)
        marks_init(out);
    return sound;
}

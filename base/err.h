/*
 * The world's mistakes: disk, peers, users. A function that can fail returns bool (true: it worked)
 * and fills the caller's struct err with a code, a text that a person can act on, and the place
 * when the input has one. The caller owns the struct; nothing in it is allocated.
 *
 *     struct err err = {0};
 *     if (!wal_open(path, &wal, &err))
 *         return err_wrap(&err, "cannot open the write-ahead log");
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum err_code {
    ERR_OK = 0,
    ERR_USAGE,       /* a command line or a request that makes no sense */
    ERR_INVALID,     /* input that breaks a rule: config, query, event */
    ERR_UNSUPPORTED, /* valid, and not built yet; the text names it */
    ERR_IO,          /* the operating system said no; sys holds errno */
    ERR_NO_SPACE,    /* as ERR_IO, for ENOSPC and EDQUOT: may pass when there is room */
    ERR_CORRUPT,     /* bytes on disk that fail a check */
    ERR_LIMIT,       /* a budget or bound was reached; the text says which, asked and allowed */
    ERR_BUSY,        /* somebody else holds it: data folder, port */
    ERR_TIMEOUT,
    ERR_CANCELED,
    ERR_NOT_FOUND,
    ERR_UNAVAILABLE, /* not now: still starting, peer down */
};

#define ERR_TEXT_MAX 768
#define ERR_FILE_MAX 256

struct err {
    enum err_code code;
    int sys;       /* errno, or 0 */
    int line, col; /* 1-based place in the input; 0: none */
    char file[ERR_FILE_MAX];
    char text[ERR_TEXT_MAX];
};

/* Fills err and returns false, so that "return err_set(...)" ends a failing function. err may be
 * NULL when the caller does not care. The text is cut at ERR_TEXT_MAX. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set with ERR_IO (or ERR_NO_SPACE) from errno; ": strerror" is appended to the text. */
bool err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds the place. file may be NULL. Returns false. */
bool err_at(struct err *err, const char *file, int line, int col);

/* Puts "context: " in front of the text. Returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "file:line:col: text", leaving out what is not known. Returns out. */
const char *err_format(const struct err *err, char *out, size_t size);

#endif

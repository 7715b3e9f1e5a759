#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return false;
    err->code = code;
    err->sys = 0;
    err->line = err->col = 0;
    err->file[0] = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return false;
}

bool err_sys(struct err *err, const char *fmt, ...)
{
    int saved = errno;
    if (!err)
        return false;
    err->code = saved == ENOSPC || saved == EDQUOT ? ERR_NO_SPACE : ERR_IO;
    err->sys = saved;
    err->line = err->col = 0;
    err->file[0] = 0;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", strerror(saved));
    return false;
}

bool err_at(struct err *err, const char *file, int line, int col)
{
    if (!err)
        return false;
    if (file)
        snprintf(err->file, sizeof err->file, "%s", file);
    err->line = line;
    err->col = col;
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char old[ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    return false;
}

const char *err_format(const struct err *err, char *out, size_t size)
{
    if (err->line > 0 && err->col > 0)
        snprintf(out, size, "%s%s%d:%d: %s", err->file, err->file[0] ? ":" : "", err->line,
            err->col, err->text);
    else if (err->line > 0)
        snprintf(out, size, "%s%s%d: %s", err->file, err->file[0] ? ":" : "", err->line, err->text);
    else
        snprintf(out, size, "%s%s%s", err->file, err->file[0] ? ": " : "", err->text);
    return out;
}

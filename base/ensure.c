#include "base/ensure.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *what)
{
    fprintf(stderr, "larder: broken invariant at %s:%d in %s: %s\n", file, line, func, what);
    abort();
}

#include "query/script_scan.h"

#include <math.h>
#include <strings.h>

#include "base/number.h"

static char at_or_zero(struct slice text, size_t at)
{
    return at < text.len ? text.ptr[at] : 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool scan_char(struct slice text, size_t *at, char c)
{
    if (at_or_zero(text, *at) != c || *at >= text.len)
        return false;
    ++*at;
    return true;
}

bool scan_word(struct slice text, size_t *at, const char *word)
{
    size_t len = strlen(word);
    if (text.len - *at < len || memcmp(text.ptr + *at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static bool scan_special(struct slice text, size_t *at, double *out)
{
    if (text.len - *at < 3)
        return false;
    if (strncasecmp(text.ptr + *at, "inf", 3) == 0)
        *out = INFINITY;
    else if (strncasecmp(text.ptr + *at, "nan", 3) == 0)
        *out = NAN;
    else
        return false;
    *at += 3;
    return true;
}

static size_t skip_digits(struct slice text, size_t at)
{
    while (is_digit(at_or_zero(text, at)))
        at++;
    return at;
}

/* An unsigned decimal, Inf or NaN. */
static bool scan_number(struct slice text, size_t *at, double *out)
{
    if (scan_special(text, at, out))
        return true;
    size_t end = skip_digits(text, *at), digits = end - *at;
    if (at_or_zero(text, end) == '.') {
        size_t fraction = skip_digits(text, end + 1);
        digits += fraction - end - 1;
        end = fraction;
    }
    if (digits == 0)
        return false;
    if ((at_or_zero(text, end) | 0x20) == 'e') {
        size_t sign = end + 1;
        if (at_or_zero(text, sign) == '+' || at_or_zero(text, sign) == '-')
            sign++;
        if (is_digit(at_or_zero(text, sign)))
            end = skip_digits(text, sign);
    }
    if (!number_parse(slice_of(text.ptr + *at, end - *at), out))
        return false;
    *at = end;
    return true;
}

bool scan_signed(struct slice text, size_t *at, double *out)
{
    size_t here = *at;
    bool minus = scan_char(text, &here, '-');
    if (!minus)
        scan_char(text, &here, '+');
    if (!scan_number(text, &here, out))
        return false;
    if (minus)
        *out = -*out;
    *at = here;
    return true;
}

bool scan_count(struct slice text, size_t *at, uint64_t max, uint64_t *out)
{
    size_t here = *at;
    for (*out = 0; is_digit(at_or_zero(text, here)); here++) {
        *out = *out * 10 + (uint64_t)(text.ptr[here] - '0');
        if (*out > max)
            return false;
    }
    if (here == *at)
        return false;
    *at = here;
    return true;
}

bool scan_blanks(struct slice text, size_t *at)
{
    size_t start = *at;
    while (at_or_zero(text, *at) == ' ' || at_or_zero(text, *at) == '\t')
        ++*at;
    return *at > start;
}

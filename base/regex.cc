extern "C" {
#include "base/regex.h"
#include "base/regex_shape.h"
}

#include <map>
#include <new>
#include <re2/re2.h>
#include <string>

struct regex {
    RE2 re;
    struct regex_shape shape;
    regex(const re2::StringPiece &pattern, const RE2::Options &options)
        : re(pattern, options), shape()
    {
    }
    regex(const regex &) = delete;
    regex &operator=(const regex &) = delete;
    ~regex()
    {
        regex_shape_fini(&shape);
    }
};

static re2::StringPiece piece(struct slice s)
{
    return re2::StringPiece(s.ptr ? s.ptr : "", s.len);
}

bool regex_new(struct slice pattern, struct regex **out, struct err *err)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_max_mem(8 << 20);
    *out = nullptr;
    struct regex *r = new (std::nothrow) struct regex(piece(pattern), options);
    if (!r)
        return err_set(err, ERR_LIMIT, "out of memory for a regular expression");
    if (!r->re.ok()) {
        err_set(err, ERR_INVALID, "error parsing regexp: %s: `%.*s`", r->re.error().c_str(),
            SLICE_FMT(pattern));
        delete r;
        return false;
    }
    regex_shape_init(&r->shape, pattern);
    *out = r;
    return true;
}

void regex_free(struct regex **regex)
{
    delete *regex;
    *regex = nullptr;
}

bool regex_match(const struct regex *regex, struct slice text)
{
    if (regex->shape.kind != SHAPE_NONE)
        return regex_shape_match(&regex->shape, text);
    return RE2::FullMatchN(piece(text), regex->re, nullptr, 0);
}

const struct slice *regex_words(const struct regex *regex, size_t *n)
{
    *n = regex->shape.n;
    return regex->shape.kind == SHAPE_WORDS ? regex->shape.words : nullptr;
}

int regex_groups(const struct regex *regex)
{
    return regex->re.NumberOfCapturingGroups();
}

int regex_group_named(const struct regex *regex, struct slice name)
{
    const std::map<std::string, int> &names = regex->re.NamedCapturingGroups();
    auto it = names.find(std::string(name.ptr, name.len));
    return it == names.end() ? -1 : it->second;
}

bool regex_capture(const struct regex *regex, struct slice text, struct slice *groups, int n)
{
    re2::StringPiece found[REGEX_GROUPS_MAX];
    if (n > REGEX_GROUPS_MAX)
        n = REGEX_GROUPS_MAX;
    if (!regex->re.Match(piece(text), 0, text.len, RE2::ANCHOR_BOTH, found, n))
        return false;
    for (int i = 0; i < n; i++)
        groups[i] = slice{found[i].data(), found[i].size()};
    return true;
}

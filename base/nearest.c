#include "base/nearest.h"

#define WORD_MAX 63

static int least(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static int distance(struct slice a, struct slice b)
{
    int rows[3][WORD_MAX + 1]; /* two rows back, one row back, this row */
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = a.ptr[i - 1], y = b.ptr[j - 1];
            row[j] = least(row[j - 1] + 1, last[j] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == b.ptr[j - 2] && a.ptr[i - 2] == y &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        int *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[b.len];
}

int nearest_find(struct slice word, const struct slice *choices, size_t n)
{
    int best = -1, best_distance = 0;
    if (word.len > WORD_MAX)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (choices[i].len > WORD_MAX)
            continue;
        int d = distance(word, choices[i]);
        int longer = (int)(word.len > choices[i].len ? word.len : choices[i].len);
        int allowed = longer / 3 ? longer / 3 : 1;
        if (d <= allowed && d < longer && (best < 0 || d < best_distance)) {
            best = (int)i;
            best_distance = d;
        }
    }
    return best;
}

/* SPDX-License-Identifier: MIT */
/* "did you mean": which of many names is a slip of the finger away from what was written. */
#include "spec_internal.h"

#include <string.h>

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours between two names of at most HM__NAME_MAX. */
static uint32_t distance_between(hm__text a, hm__text b)
{
    uint32_t rows[3][HM__NAME_MAX + 1]; /* row i % 3 is for the first i characters of a */
    for (size_t j = 0; j <= b.length; j++) {
        rows[0][j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= a.length; i++) {
        const uint32_t *above = rows[(i - 1) % 3];
        uint32_t *row = rows[i % 3];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= b.length; j++) {
            const unsigned char x = lower(a.at[i - 1]);
            const unsigned char y = lower(b.at[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1);
            row[j] = least(row[j], above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.at[j - 2]) && lower(a.at[i - 2]) == y) {
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a.length % 3][b.length];
}

static int begins_with(hm__text text, hm__text head)
{
    for (size_t i = 0; i < head.length; i++) {
        if (i >= text.length || lower(text.at[i]) != lower(head.at[i])) {
            return 0;
        }
    }
    return 1;
}

void hm__nearest_begin(hm__nearest *search, hm__text written)
{
    memset(search, 0, sizeof *search);
    search->written = written;
    /* One slip in three characters, and at least one in a word of two, is still the same word. */
    const size_t length = written.length;
    const size_t slips = length < 2 ? 0 : length < 6 ? 1 : length / 3;
    search->distance = (uint32_t)slips + 1;
}

void hm__nearest_offer(hm__nearest *search, hm__text candidate)
{
    const hm__text written = search->written;
    if (written.length > HM__NAME_MAX || candidate.length > HM__NAME_MAX) {
        return;
    }
    uint32_t distance = distance_between(written, candidate);
    if (written.length >= 2 && begins_with(candidate, written)) {
        distance = least(distance, 1);
    }
    if (distance < search->distance) {
        search->distance = distance;
        memcpy(search->name, candidate.at, candidate.length);
        search->name[candidate.length] = '\0';
    }
}

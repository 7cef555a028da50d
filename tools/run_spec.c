/* SPDX-License-Identifier: MIT */
/* Finding the debug host's element in a spec: elements are joined by '+', options by ',', outside parentheses. */
#include "run_spec.h"

#include <stdio.h>
#include <string.h>

/* The end of the piece that starts at `at`: the next of `ends` that is not in parentheses, or the text's own. */
static size_t piece(const char *at, const char *ends)
{
    size_t depth = 0, i = 0;
    for (; at[i] && (depth || !strchr(ends, at[i])); i++) {
        depth += at[i] == '(';
        depth -= at[i] == ')' && depth;
    }
    return i;
}

static int has_option(const char *element, size_t length, const char *key)
{
    const size_t name = strlen(key);
    size_t at = piece(element, ":+");
    while (at < length) {
        at++;
        const size_t option = piece(element + at, ",+");
        if (option >= name && strncmp(element + at, key, name) == 0 &&
            (option == name || element[at + name] == '=')) {
            return 1;
        }
        at += option;
    }
    return 0;
}

int run_spec_holds(const char *value)
{
    size_t depth = 0;
    for (; *value; value++) {
        if (*value == ')' && depth == 0) {
            return 0;
        }
        depth += *value == '(';
        depth -= *value == ')';
    }
    return depth == 0;
}

int run_spec_add(char *spec, size_t size, const char *key, const char *value)
{
    static const char wanted[] = "debug";
    for (size_t at = 0; spec[at]; at += spec[at] == '+') {
        const size_t length = piece(spec + at, "+");
        const size_t name = piece(spec + at, ":+");
        if (name == sizeof wanted - 1 && strncmp(spec + at, wanted, name) == 0) {
            char added[4200];
            const int is_plain = !strpbrk(value, "+,()");
            if (has_option(spec + at, length, key)) {
                return 1;
            }
            const int more =
                snprintf(added, sizeof added, "%c%s=%s%s%s", name == length ? ':' : ',',
                         key, is_plain ? "" : "(", value, is_plain ? "" : ")");
            if (more < 0 || (size_t)more >= sizeof added ||
                strlen(spec) + (size_t)more >= size) {
                return 0;
            }
            char *const place = spec + at + length;
            memmove(place + more, place, strlen(place) + 1);
            memcpy(place, added, (size_t)more);
            return 1;
        }
        at += length;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Reading the settings, and leaving no trace of them to the program and its children. */
#include "settings_internal.h"

#include <hostmalloc/module.h>

#include <stdlib.h>
#include <string.h>

#include "objects_internal.h"

extern char **environ;

#define PREFIX "HOSTMALLOC_RUN_"

static const char *copy_of(const char *name)
{
    char full[64] = PREFIX;
    strncat(full, name, sizeof full - sizeof PREFIX);
    const char *value = secure_getenv(full);
    char *copy = value ? hm_core_table()->memory_alloc(strlen(value) + 1) : NULL;
    return copy ? strcpy(copy, value) : NULL;
}

/* In place: the program's main() has been promised this very array. */
static void forget_all(void)
{
    char **to = environ;
    for (char **from = environ; from && *from; from++) {
        if (strncmp(*from, PREFIX, sizeof PREFIX - 1) != 0) {
            *to++ = *from;
        }
    }
    if (to) {
        *to = NULL;
    }
}

/* The entry of LD_PRELOAD that is us goes; the others stay as they stand, for children too. */
static void forget_preload(void)
{
    static const char name[] = "LD_PRELOAD=";
    const char *path;
    uintptr_t base;
    if (!hm__object_of((uintptr_t)forget_preload, &path, &base)) {
        return;
    }
    const size_t length = strlen(path);
    for (char **variable = environ; variable && *variable; variable++) {
        char *value = *variable;
        if (strncmp(value, name, sizeof name - 1) != 0) {
            continue;
        }
        char *at = strstr(value + sizeof name - 1, path);
        if (!at) {
            continue;
        }
        char *from = at + length;
        if (at == value + sizeof name - 1) {
            from += *from == ':' || *from == ' ';
        } else {
            at--;
        }
        memmove(at, from, strlen(from) + 1);
        if (!value[sizeof name - 1]) {
            for (char **next = variable; *next; next++) {
                *next = next[1];
            }
        }
        return;
    }
}

void hm__settings_read(hm__settings *out)
{
    out->host = copy_of("HOST");
    out->shown = copy_of("SHOWN");
    out->report = copy_of("REPORT");
    out->format = copy_of("FORMAT");
    out->bridges = copy_of("BRIDGES");
    out->command = copy_of("COMMAND");
    out->no_malloc = copy_of("NO_MALLOC") != NULL;
    out->follow = copy_of("FOLLOW") != NULL;
    if (!out->follow) {
        forget_all();
        forget_preload();
    }
}

/* SPDX-License-Identifier: MIT */
/* What a client has live, by place, as text. Nothing is allocated: places are summed in a table of fixed size, and what
 * does not fit is summed together. */
#include "client_internal.h"

#include <string.h>

#define PLACES 256
#define SHOWN  16 /* those that hold most */

typedef struct place_sum {
    uint32_t site;
    uint64_t blocks;
    uint64_t bytes;
} place_sum;

typedef struct sums {
    place_sum at[PLACES];
    size_t count;
    place_sum all;
} sums;

static void add(place_sum *sum, uint64_t bytes)
{
    sum->blocks++;
    sum->bytes += bytes;
}

static void add_block(sums *s, const hm__client_block *b)
{
    size_t i = 0;
    add(&s->all, b->bytes);
    while (i < s->count && s->at[i].site != b->site) {
        i++;
    }
    if (i == s->count && i < PLACES) {
        s->at[s->count++].site = b->site;
    }
    if (i < PLACES) {
        add(&s->at[i], b->bytes);
    }
}

/* The place that holds most; NULL: none is left. */
static place_sum *largest_of(sums *s)
{
    place_sum *largest = NULL;
    for (size_t i = 0; i < s->count; i++) {
        if (s->at[i].blocks && (!largest || s->at[i].bytes > largest->bytes)) {
            largest = &s->at[i];
        }
    }
    return largest;
}

/* 1: all of it was written. */
static int write_line(int fd, const hm_error *first, const char *second)
{
    char line[1024] = "==hostmalloc== ";
    strncat(line, first->what, sizeof line - 2 - strlen(line));
    strncat(line, second, sizeof line - 2 - strlen(line));
    strcat(line, "\n");
    return hm__os_write(fd, line, strlen(line)) == 0;
}

static int write_place(int fd, const place_sum *sum, const char *where)
{
    hm_error text;
    hm_error_set(&text, HM_OK, "", "    %llu %s of %llu bytes from ",
                 (unsigned long long)sum->blocks, sum->blocks == 1 ? "block" : "blocks",
                 (unsigned long long)sum->bytes);
    return write_line(fd, &text, where);
}

static hm_status report(hm_client_key key, const char *kind, const char *what, int fd)
{
    sums s = {.count = 0};
    hm_error text;
    char where[768];
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    for (const hm__client_block *b = c->blocks.newest; b; b = b->older) {
        add_block(&s, b);
    }
    hm_error_set(&text, HM_OK, "",
                 "%.20s \"%.63s\" %.20s with %llu %s of %llu bytes live",
                 kind ? kind : "client", c->name, what ? what : "goes on",
                 (unsigned long long)s.all.blocks, s.all.blocks == 1 ? "block" : "blocks",
                 (unsigned long long)s.all.bytes);
    const int known = (c->malloc_object->flags & HM_MALLOC_DEBUG) != 0;
    hm__client_leave(c);
    if (!s.all.blocks) {
        return HM_OK;
    }
    int whole = write_line(fd, &text, "");
    place_sum others = s.all;
    place_sum *sum = known ? largest_of(&s) : NULL;
    for (int shown = 0; sum && shown < SHOWN; shown++) {
        whole &= write_place(
            fd, sum, hm_site_text(hm_site_from_id(sum->site), 1, where, sizeof where));
        others.blocks -= sum->blocks;
        others.bytes -= sum->bytes;
        sum->blocks = 0;
        sum = largest_of(&s);
    }
    if (known && others.blocks) {
        whole &= write_place(fd, &others, "other places");
    }
    return whole ? HM_OK : HM_E_OS;
}

/* Places are read under a lock of theirs, after the client was left. */
hm_status hm_client_report(hm_client_key key, const char *kind, const char *what, int fd)
{
    hm__os_guard_hold();
    const hm_status status = report(key, kind, what, fd);
    hm__os_guard_drop();
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Which blocks get pages of their own: all, those of a size or a site, or a sample in which every site has a part. */
#include "guarded_internal.h"

#include "break_internal.h"
#include "hot_internal.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX    30000u /* two or three mappings each, of 65530 a process may have */
#define FIRST_BLOCKS 4u     /* of each site, for each writer */

static uint64_t number_read(const char *text, const char **end)
{
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9' && number < UINT32_MAX; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *end = text;
    return number;
}

static int which_read(debug_guarded *guarded, const char *which)
{
    const char *end = "";
    if (strcmp(which, "all") == 0) {
        guarded->kind = DEBUG_GUARD_ALL;
        return 1;
    }
    if (strncmp(which, "size:", 5) == 0 && which[5]) {
        guarded->kind = DEBUG_GUARD_SIZE;
        guarded->number = number_read(which + 5, &end);
        return !*end;
    }
    if (strncmp(which, "1/", 2) == 0) {
        guarded->kind = DEBUG_GUARD_SAMPLE;
        guarded->number = number_read(which + 2, &end);
        return !*end && guarded->number;
    }
    if (strncmp(which, "site:", 5) == 0 && which[5] &&
        strlen(which + 5) < sizeof(guarded->place)) {
        guarded->kind = DEBUG_GUARD_SITE;
        memcpy(guarded->place, which + 5, strlen(which + 5) + 1);
        return 1;
    }
    return 0;
}

hm_status hm__debug_guarded_open(
    debug_host *host, const char *which, const char *align, uint64_t slots, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    debug_guarded *guarded = core->memory_alloc(sizeof(*guarded));
    if (!guarded) {
        return core->error_set(err, HM_E_NOMEM, "host:debug", "no memory for guard=");
    }
    host->guarded = guarded;
    guarded->slots = slots;
    guarded->align = strcmp(align, "left") == 0    ? DEBUG_ALIGN_LEFT
                     : strcmp(align, "right") == 0 ? DEBUG_ALIGN_RIGHT
                                                   : DEBUG_ALIGN_AUTO;
    if (!which_read(guarded, which)) {
        return core->error_set(
            err, HM_E_INVALID, "host:debug",
            "guard: \"%s\", expected all, site:FILE:LINE, size:BYTES or 1/BLOCKS", which);
    }
    if (!slots || slots > SLOTS_MAX) {
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "guard_slots: %llu, expected 1 to %u",
                               (unsigned long long)slots, SLOTS_MAX);
    }
    return HM_OK;
}

void hm__debug_guarded_close(debug_host *host)
{
    if (host->guarded) {
        hm__debug_slots_drop(host, 0);
        hm__debug.core->memory_free(host->guarded, sizeof(*host->guarded));
        host->guarded = NULL;
    }
}

/* Blocks this writer made at the site; a site nobody counted yet has none. */
static uint64_t made_at(const debug_malloc *m, const hm_site *site)
{
    const uint32_t id = hm__debug_site_quick(site);
    const debug_book *book = hm__debug_book_mine(m);
    const debug_tally *tally =
        book && id <= DEBUG_SITE_MAX ? hm__debug_tally(book, id) : NULL;
    return tally ? DEBUG_GET(tally->blocks) : 0;
}

/* 1 once in so many calls of the thread, at distances nothing in the program beats with. */
static int is_drawn(uint64_t of)
{
    static _Thread_local uint64_t left, random;
    if (left > 1) {
        left--;
        return 0;
    }
    const int drawn = left == 1;
    random += (hm__debug_cookie ^ hm__debug.core->thread_id()) | 1;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    left = 1 + random % (2 * of);
    return drawn;
}

/* A leak or an overrun of a rare site would never be in a plain sample: so the first blocks of each site are, and then each
   that doubles their number. */
static int is_sampled(const debug_malloc *m, const hm_site *site, uint64_t of)
{
    const uint64_t before = made_at(m, site);
    return before < FIRST_BLOCKS || !(before & (before - 1)) || is_drawn(of);
}

int hm__debug_guarded_wants(const debug_malloc *m, size_t size, const hm_site *site)
{
    const debug_guarded *guarded = m->host->guarded;
    if (m->base.flags & HM_MALLOC_EXECUTABLE) {
        return 0; /* its pages are the inner host's affair */
    }
    switch (guarded->kind) {
    case DEBUG_GUARD_ALL:
        return 1;
    case DEBUG_GUARD_SIZE:
        return size == guarded->number;
    case DEBUG_GUARD_SITE:
        return site && hm__debug_is_place(guarded->place, site);
    default:
        return is_sampled(m, site, guarded->number);
    }
}

int hm__debug_guarded_left(debug_guarded *guarded)
{
    return guarded->align == DEBUG_ALIGN_LEFT ||
           (guarded->align == DEBUG_ALIGN_AUTO && guarded->kind == DEBUG_GUARD_SAMPLE &&
            __atomic_add_fetch(&guarded->made, 1, __ATOMIC_RELAXED) % 8 == 0);
}

uint64_t hm__debug_guarded_dropped(const debug_host *host)
{
    return host->guarded ? DEBUG_GET(host->guarded->dropped) : 0;
}

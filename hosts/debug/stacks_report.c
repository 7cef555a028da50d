/* SPDX-License-Identifier: MIT */
/* What reports say of stacks: how many of their blocks are live, which of them matter, and where their frames lie. */
#include "stacks_internal.h"

#include "os_unwind.h"

#include <string.h>

static int clear_one(void *context, const debug_stack *stack)
{
    debug_stack *own = (debug_stack *)(uintptr_t)stack;
    (void)context;
    own->live_blocks = 0;
    own->live_bytes = 0;
    return 0;
}

static int count_one(void *context, void *block, unsigned state)
{
    const debug_host *host = context;
    debug_facts facts;
    hm__debug_facts_read(block, state, &facts);
    if (facts.intact && facts.owner && facts.owner->host == host) {
        debug_stack *stack = hm__debug_stack_of(&facts);
        if (stack && stack->host == host) {
            const double weight =
                hm__debug_sample_weight(host->sample_bytes, facts.bytes);
            stack->live_blocks += (uint64_t)(weight * 256);
            stack->live_bytes += (uint64_t)(weight * 256 * (double)facts.bytes);
        }
    }
    return 0;
}

static int scale_one(void *context, const debug_stack *stack)
{
    debug_stack *own = (debug_stack *)(uintptr_t)stack;
    (void)context;
    own->live_blocks = (own->live_blocks + 128) / 256;
    own->live_bytes = (own->live_bytes + 128) / 256;
    return 0;
}

void hm__debug_stacks_live(const debug_host *host)
{
    hm__debug_stacks_visit(host, clear_one, NULL);
    hm__debug_walk_begin();
    hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, count_one,
                       (void *)(uintptr_t)host);
    hm__debug_walk_end();
    hm__debug_stacks_visit(host, scale_one, NULL);
}

const char *hm__debug_frame_text(uintptr_t frame, char *text, size_t size)
{
    char path[900];
    uint64_t offset = frame;
    debug_text t;
    hm__debug_text_start(&t);
    /* The call lies before the address it returns to, which may be another function's. */
    if (hm__os_code_place(frame - 1, path, sizeof(path), &offset)) {
        hm__debug_put(&t, path);
        hm__debug_put(&t, "+");
        offset++;
    }
    hm__debug_put_hex(&t, offset);
    const size_t length = t.length < size ? t.length : size - 1;
    memcpy(text, t.text, length);
    text[length] = '\0';
    return text;
}

void hm__debug_put_frames(debug_text *t, int fd, const debug_stack *stack, uint32_t most)
{
    char text[1000];
    for (uint32_t i = 0; i < stack->count && i < most; i++) {
        if (fd >= 0 && t->length > sizeof(t->text) - sizeof(text) - 32) {
            hm__debug_text_send(t, fd);
        }
        hm__debug_put(t, "      #");
        hm__debug_put_number(t, i);
        hm__debug_put(t, " ");
        hm__debug_put(t, hm__debug_frame_text(stack->frames[i], text, sizeof(text)));
        hm__debug_put(t, "\n");
    }
}

#define SITES_SHOWN  20u /* the first of a list */
#define STACKS_SHOWN 3u  /* of a site */

typedef struct most_live {
    uint32_t site;
    uint32_t count;
    const debug_stack *stacks[STACKS_SHOWN]; /* more bytes first */
} most_live;

typedef struct shown {
    uint32_t count;
    most_live sites[SITES_SHOWN]; /* by number */
} shown;

static most_live *find_site(shown *all, uint32_t site)
{
    uint32_t low = 0, high = all->count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (all->sites[middle].site < site) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return &all->sites[low];
}

static void add_site(shown *all, uint32_t site)
{
    most_live *place = find_site(all, site);
    const size_t behind = (size_t)(all->sites + all->count++ - place);
    memmove(place + 1, place, behind * sizeof(*place));
    *place = (most_live){.site = site};
}

static int most_one(void *context, const debug_stack *stack)
{
    shown *all = context;
    most_live *most = find_site(all, stack->site);
    if (most == all->sites + all->count || most->site != stack->site ||
        !stack->live_blocks) {
        return 0;
    }
    uint32_t at = most->count;
    while (at && most->stacks[at - 1]->live_bytes < stack->live_bytes) {
        at--;
    }
    for (uint32_t i = STACKS_SHOWN - 1; i > at; i--) {
        most->stacks[i] = most->stacks[i - 1];
    }
    if (at < STACKS_SHOWN) {
        most->stacks[at] = stack;
        most->count += most->count < STACKS_SHOWN;
    }
    return 0;
}

static void put_most(debug_text *t, int fd, const debug_host *host, const most_live *most)
{
    for (uint32_t k = 0; k < most->count; k++) {
        hm__debug_put(t, host->sample_bytes ? "    about " : "    ");
        hm__debug_put_count(t, most->stacks[k]->live_blocks, "block", "blocks");
        hm__debug_put(t, " and ");
        hm__debug_put_count(t, most->stacks[k]->live_bytes, "byte", "bytes");
        hm__debug_put(t, " of ");
        hm__debug_put_site(t, hm__debug.core->site_from_id(most->site));
        hm__debug_put(t, " came by\n");
        hm__debug_put_frames(t, fd, most->stacks[k], host->frames);
        hm__debug_text_send(t, fd);
    }
}

void hm__debug_put_stacks(debug_text *t,
                          int fd,
                          const debug_host *host,
                          const debug_list *list)
{
    shown all = {.count = 0};
    const size_t count = list->count < SITES_SHOWN ? list->count : SITES_SHOWN;
    for (size_t i = 0; i < count; i++) {
        add_site(&all, list->rows[i].site);
    }
    hm__debug_stacks_live(host);
    hm__debug_stacks_visit(host, most_one, &all);
    for (size_t i = 0; i < count; i++) {
        put_most(t, fd, host, find_site(&all, list->rows[i].site));
    }
    if (hm__debug_stacks_dropped()) {
        hm__debug_put(t, "    ");
        hm__debug_put_count(t, hm__debug_stacks_dropped(), "block has", "blocks have");
        hm__debug_put(t, " no stack, for lack of room\n");
    }
}

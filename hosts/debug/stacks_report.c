/* SPDX-License-Identifier: MIT */
/* What reports say of stacks: how many of their blocks are live, and where their frames lie. */
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

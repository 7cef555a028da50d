/* SPDX-License-Identifier: MIT */
/* What is wrong with a pointer or a block, judged from the block map; memory is read only where the map says
 * that it is ours. */
#include "finding_internal.h"

#include "guarded_internal.h"
#include "ledger_internal.h"
#include "os.h"

/* How far back an address inside a block looks for the block's start, and over how many blocks long gone: few where
   the address is one of these itself, because then it is hardly anything else. */
#define REACH_BYTES      ((size_t)1 << 36)
#define REACH_STEPS      1000000u
#define REACH_STEPS_GONE 1000u

void hm__debug_facts_fields(const void *block, debug_facts *facts)
{
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    facts->intact = 1;
    facts->bytes = hm__debug_low_size(low);
    facts->site_id = hm__debug_low_site(low);
    facts->site = hm__debug.core->site_from_id(facts->site_id);
    facts->thread = hm__debug_low_thread(low);
    facts->serial = hm__debug_high_serial(high);
    facts->mark = hm__debug_high_generation(high);
    facts->number = hm__debug_high_owner(high);
    facts->owner = hm__debug_malloc_of(facts->number);
}

void hm__debug_facts_read(const void *block, unsigned state, debug_facts *facts)
{
    debug_shape shape;
    if (DEBUG_RARE(DEBUG_GET(hm__debug_guarded_some)) &&
        hm__debug_slot_facts(block, facts)) {
        return;
    }
    *facts = (debug_facts){.block = block, .state = state};
    if (state == DEBUG_GONE || state == DEBUG_MOVING ||
        !hm__debug_shape_read(block, &shape)) {
        return;
    }
    hm__debug_facts_fields(block, facts);
    facts->bytes = shape.bytes;
    if (state == DEBUG_FREED) {
        const uint64_t epitaph =
            hm__debug_rear_peek(block, hm__debug_epitaph_at(shape.bytes, shape.edge));
        facts->freed_known = (epitaph ^ shape.hash) >> 32 == 0;
        facts->freed_site =
            hm__debug.core->site_from_id((uint32_t)epitaph & DEBUG_SITE_MAX);
        facts->freed_thread = (uint32_t)epitaph >> 20;
    }
}

/* Of two threads that free at once the second may be here before the first has written where it was. */
static void facts_of_freed(const void *block, debug_facts *facts)
{
    for (int tries = 0; tries < 100; tries++) {
        hm__debug_facts_read(block, DEBUG_FREED, facts);
        const unsigned state = hm__block_map_state(&hm__debug.map, block);
        if (facts->freed_known || (state != DEBUG_FREED && state != DEBUG_GUARD_FREED)) {
            return;
        }
        hm__os_sleep_ns(10000);
    }
}

/* The block that address lies in, its guard included; live, held back or withdrawn. */
static int find_around(const void *address, uint32_t steps, debug_facts *facts)
{
    const char *at = address;
    size_t reach = REACH_BYTES;
    for (uint32_t step = 0; step < steps; step++) {
        unsigned state = 0;
        const char *start = hm__block_map_before(&hm__debug.map, at, reach, &state);
        if (!start) {
            return 0;
        }
        if (state != DEBUG_GONE && state != DEBUG_MOVING) {
            hm__debug_facts_read(start, state, facts);
            return facts->intact && (uintptr_t)address - (uintptr_t)start <
                                        facts->bytes + DEBUG_GUARD_BYTES;
        }
        const size_t walked = (size_t)(at - start) + 1;
        if (walked >= reach) {
            return 0;
        }
        reach -= walked;
        at = start - 1;
    }
    return 0;
}

int hm__debug_facts_around(const void *address, debug_facts *facts)
{
    return find_around(address, REACH_STEPS, facts);
}

static const char *const act_here[] = {"freed here", "realloc here", "found by"};

static void detail_inside(debug_text *t, const debug_finding *f)
{
    hm__debug_put_label(t, "which is");
    hm__debug_put_count(t, f->figures[0], "byte", "bytes");
    hm__debug_put(t, " inside it\n");
}

static void detail_text(debug_text *t, const debug_finding *f)
{
    hm__debug_put_label(t, "which is in");
    hm__debug_put(t, f->text);
    hm__debug_put(t, "\n");
}

/* Not a start of a block of ours, nor inside one: whose could it be? */
static void judge_stranger(debug_finding *f, unsigned act, char *path, size_t path_size)
{
    static const char *const words[][2] = {
        {"free of an address no program can own",
         "realloc of an address no program can own"},
        {"free of an address just above NULL", "realloc of an address just above NULL"},
        {"free of an address on this thread's stack",
         "realloc of an address on this thread's stack"},
        {"free of static data or code", "realloc of static data or code"},
        {"free of an odd address in no block", "realloc of an odd address in no block"},
        {"free of an address where nothing is mapped",
         "realloc of an address where nothing is mapped"},
        {"free of another allocator's memory", "realloc of another allocator's memory"}};
    const uintptr_t a = (uintptr_t)f->pointer;
    uintptr_t low = 0, high = 0;
    if (a >= hm__os()->address_limit) {
        f->what = words[0][act];
        f->hint = "the pointer was overwritten, or holds something else";
    } else if (a < hm__os()->page_size) {
        f->what = words[1][act];
        f->hint = "a member of a NULL struct, or a small number";
    } else if (hm__os_stack_bounds(&low, &high) && a >= low && a < high) {
        f->what = words[2][act];
        f->hint = "a local variable goes by itself when its function returns";
    } else if (hm__os_object_path(f->pointer, path, path_size)) {
        f->what = words[3][act];
        f->text = path;
        f->detail = detail_text;
    } else if (!hm__os_is_mapped(f->pointer)) {
        f->what = words[5][act];
        f->hint = "the pointer was overwritten, or its memory went back to the system";
    } else if (a & 15) {
        f->what = words[4][act];
        f->hint = "blocks start at multiples of 16";
    } else {
        f->what = words[6][act];
        f->hint = "free it with the partner of what allocated it";
    }
}

/* Where a block was that is gone, and the header of a newer one is now, nothing starts any more. */
static unsigned state_at(const void *pointer)
{
    const unsigned state = hm__block_map_state(&hm__debug.map, pointer);
    const void *after = (const void *)((uintptr_t)pointer + DEBUG_HEADER_BYTES);
    return state == DEBUG_GONE &&
                   hm__debug_is_live(hm__block_map_state(&hm__debug.map, after))
               ? 0
               : state;
}

hm_status
hm__debug_judge_pointer(debug_malloc *m, const void *pointer, unsigned act, hm_site *site)
{
    static const char *const words[][2] = {
        {"double free", "realloc of a freed block"},
        {"double free of a damaged block", "realloc of a damaged block"},
        {"free of a block another thread is reallocating",
         "realloc of a block another thread is reallocating"},
        {"free of an address inside a block", "realloc of an address inside a block"},
        {"free of an address inside a freed block",
         "realloc of an address inside a freed block"},
        {"double free of a block given back already",
         "realloc of a block given back already"}};
    char path[512];
    debug_finding f = {.status = HM_E_FREED,
                       .m = m,
                       .pointer = pointer,
                       .here = hm__debug_place_here(act_here[act], site)};
    hm__debug_walk_begin();
    const unsigned state = state_at(pointer);
    if (state == DEBUG_FREED || state == DEBUG_GUARD_FREED) {
        f.what = words[0][act];
        facts_of_freed(pointer, &f.facts);
        f.here.label = act == DEBUG_ACT_FREE ? "freed again" : f.here.label;
    } else if (state == DEBUG_DAMAGED) {
        f.what = words[1][act];
        hm__debug_facts_read(pointer, state, &f.facts);
    } else if (state == DEBUG_MOVING) {
        f.what = words[2][act];
    } else if (find_around(pointer, state == DEBUG_GONE ? REACH_STEPS_GONE : REACH_STEPS,
                           &f.facts)) {
        f.status = HM_E_NOT_OWNED;
        f.what = words[f.facts.state == DEBUG_FREED ? 4 : 3][act];
        f.figures[0] = (uintptr_t)pointer - (uintptr_t)f.facts.block;
        f.detail = detail_inside;
    } else {
        f.facts = (debug_facts){0};
        if (state == DEBUG_GONE) {
            f.what = words[5][act];
            f.hint = "the address went back to its allocator, and may be another's block "
                     "by now";
        } else {
            f.status = HM_E_NOT_OWNED;
            judge_stranger(&f, act, path, sizeof(path));
        }
    }
    hm__debug_found(&f);
    hm__debug_walk_end();
    return f.status;
}

hm_status
hm__debug_judge_owner(debug_malloc *m, const void *block, unsigned act, hm_site *site)
{
    static const char *const words[] = {"free of a block of another malloc",
                                        "realloc of a block of another malloc"};
    debug_finding f = {.status = HM_E_NOT_OWNED,
                       .what = words[act],
                       .m = m,
                       .pointer = block,
                       .here = hm__debug_place_here(act_here[act], site)};
    hm__debug_walk_begin();
    hm__debug_facts_read(block, DEBUG_LIVE, &f.facts);
    hm__debug_found(&f);
    hm__debug_walk_end();
    return f.status;
}

static void detail_size(debug_text *t, const debug_finding *f)
{
    hm__debug_put_label(t, "said to be");
    hm__debug_put_count(t, f->figures[0], "byte", "bytes");
    hm__debug_put(t, "\n");
}

static void detail_alignment(debug_text *t, const debug_finding *f)
{
    hm__debug_put_label(t, "said to be");
    hm__debug_put(t, "aligned to ");
    hm__debug_put_number(t, f->figures[1]);
    hm__debug_put(t, "\n");
}

hm_status hm__debug_judge_size(debug_malloc *m,
                               const void *block,
                               size_t size,
                               size_t alignment,
                               unsigned act,
                               hm_site *site)
{
    debug_finding f = {.status = HM_E_SIZE,
                       .what = act == DEBUG_ACT_FREE ? "free with the wrong size"
                                                     : "realloc with the wrong old size",
                       .m = m,
                       .pointer = block,
                       .detail = detail_size,
                       .figures = {size, alignment},
                       .here = hm__debug_place_here(act_here[act], site)};
    hm__debug_walk_begin();
    hm__debug_facts_read(block, DEBUG_LIVE, &f.facts);
    if (size == HM_SIZE_UNKNOWN || size == f.facts.bytes) {
        f.what = "free with the wrong alignment";
        f.detail = detail_alignment;
        f.status = alignment & (alignment - 1) ? HM_E_INVALID : HM_E_SIZE;
    }
    hm__debug_found(&f);
    hm__debug_walk_end();
    return f.status;
}

void hm__debug_found_alignment(debug_malloc *m, size_t alignment, hm_site *site)
{
    const int is_power = alignment && !(alignment & (alignment - 1));
    debug_finding f = {
        .status = HM_E_INVALID,
        .what = is_power ? "allocation with an alignment above 1 GiB"
                         : "allocation with an alignment that is no power of two",
        .m = m,
        .detail = detail_alignment,
        .figures = {0, alignment},
        .here = hm__debug_place_here("asked here", site)};
    hm__debug_found(&f);
}

void hm__debug_found_overlap(debug_malloc *m,
                             uint32_t other_thread,
                             const hm_site *other_site,
                             hm_site *site)
{
    debug_finding f = {.what = "unsynchronised malloc used by two threads at once",
                       .m = m,
                       .hint =
                           "create it with HM_MALLOC_THREADSAFE, or serialise its users",
                       .before = {"one is in", other_site, other_thread},
                       .here = hm__debug_place_here("one comes to", site)};
    hm__debug_found(&f);
}

void hm__debug_found_released(debug_malloc *m, const char *what, hm_site *site)
{
    debug_finding f = {.what = what, .m = m, .here = hm__debug_place_here("here", site)};
    hm__debug_found(&f);
}

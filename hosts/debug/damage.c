/* SPDX-License-Identifier: MIT */
/* Blocks whose edges or stale fill are not as this host left them: which bytes, and whose they were. */
#include "finding_internal.h"

#include "fill_internal.h"
#include "guarded_internal.h"
#include "os_peek.h"

#define SHOWN_BEFORE 8u

/* How far before an address a block may start, and how far its end. */
#define BEFORE_REACH ((size_t)1 << 36)
#define BEFORE_MOST  ((size_t)1 << 20)

int hm__debug_is_damaged(const void *block)
{
    debug_shape shape;
    int damaged = 0;
    if (DEBUG_RARE(DEBUG_GET(hm__debug_guarded_some)) &&
        hm__debug_guarded_damage(block, NULL, &damaged)) {
        return damaged;
    }
    return !hm__debug_shape_read(block, &shape) ||
           (shape.edge &&
            hm__debug_rear_peek(block, shape.bytes) != hm__debug_rear(shape.hash));
}

static unsigned guard_byte(uint64_t guard, unsigned at)
{
    return (unsigned)(guard >> 8 * at) & 255;
}

/* "+33: 61 62 63 64 65 66 67 68 | [07] .. .. .. .. .. .. .." : the last of the user's bytes, then the guard's, where
   only what was overwritten is shown. */
static void detail_overrun(debug_text *t, const debug_finding *f)
{
    const unsigned char *at = f->facts.block;
    const size_t bytes = f->facts.bytes;
    const uint64_t expected = f->figures[0];
    const uint64_t found = f->figures[1];
    const size_t from = bytes > SHOWN_BEFORE ? bytes - SHOWN_BEFORE : 0;
    hm__debug_put_label(t, "bytes");
    hm__debug_put(t, "+");
    hm__debug_put_number(t, from);
    hm__debug_put(t, ":");
    for (size_t i = from; i < bytes; i++) {
        hm__debug_put(t, " ");
        hm__debug_put_byte(t, at[i]);
    }
    hm__debug_put(t, " |");
    for (unsigned i = 0; i < DEBUG_GUARD_BYTES; i++) {
        if (guard_byte(expected, i) == guard_byte(found, i)) {
            hm__debug_put(t, " ..");
        } else {
            hm__debug_put(t, " [");
            hm__debug_put_byte(t, guard_byte(found, i));
            hm__debug_put(t, "]");
        }
    }
    hm__debug_put(t, "\n");
}

/* The header, of which any byte may have changed, then the first of the user's. */
static void detail_header(debug_text *t, const debug_finding *f)
{
    const unsigned char *at = f->facts.block;
    hm__debug_put_label(t, "bytes");
    hm__debug_put(t, "-16:");
    for (int i = -(int)DEBUG_HEADER_BYTES; i < 0; i++) {
        hm__debug_put(t, " ");
        hm__debug_put_byte(t, at[i]);
    }
    hm__debug_put(t, "\n");
}

/* The fields stand as they were and only the seal beside the user's bytes is broken. */
static void detail_underrun(debug_text *t, const debug_finding *f)
{
    const unsigned char *at = f->facts.block;
    const uint64_t expected = f->figures[0];
    const uint64_t found = f->figures[1];
    const size_t shown = f->facts.bytes < SHOWN_BEFORE ? f->facts.bytes : SHOWN_BEFORE;
    hm__debug_put_label(t, "bytes");
    hm__debug_put(t, "-3:");
    for (unsigned i = 5; i < 8; i++) {
        if (guard_byte(expected, i) == guard_byte(found, i)) {
            hm__debug_put(t, " ..");
        } else {
            hm__debug_put(t, " [");
            hm__debug_put_byte(t, guard_byte(found, i));
            hm__debug_put(t, "]");
        }
    }
    hm__debug_put(t, " |");
    for (size_t i = 0; i < shown; i++) {
        hm__debug_put(t, " ");
        hm__debug_put_byte(t, at[i]);
    }
    hm__debug_put(t, "\n");
}

/* A short underrun breaks the seal alone: then the fields still lead to a rear guard that agrees with them. They may also lead
   anywhere, and nobody knows whose the block is. */
static int fields_stand(const debug_malloc *m, const void *block, uint64_t *expected)
{
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const size_t bytes = hm__debug_low_size(low);
    unsigned char rear[DEBUG_GUARD_BYTES];
    if (!m->edge || bytes == DEBUG_LONG ||
        !hm__os_peek(rear, (const char *)block + bytes, sizeof(rear))) {
        return 0;
    }
    const uint64_t hash = hm__debug_mix(block, low, high);
    *expected = hm__debug_sealed(
        high << DEBUG_SEAL_WIDTH >> DEBUG_SEAL_WIDTH | DEBUG_SEAL_ALWAYS, hash);
    return hm__debug_rear_peek(rear, 0) == hm__debug_rear(hash);
}

void hm__debug_damage_facts(debug_malloc *m, const void *block, debug_facts *facts)
{
    uint64_t expected;
    hm__debug_facts_read(block, DEBUG_LIVE, facts);
    if (!facts->intact && fields_stand(m, block, &expected)) {
        hm__debug_facts_fields(block, facts);
    }
}

/* A block may be long: what counts is how far it is from its end. */
void hm__debug_facts_before(const void *address, debug_facts *facts)
{
    unsigned state = 0;
    const char *at = address;
    *facts = (debug_facts){0};
    for (int step = 0; step < 64; step++) {
        const char *start =
            hm__block_map_before(&hm__debug.map, at, BEFORE_REACH, &state);
        if (!start) {
            return;
        }
        if (hm__debug_is_live(state) || state == DEBUG_FREED || state == DEBUG_DAMAGED) {
            hm__debug_facts_read(start, state, facts);
            if ((uintptr_t)address - (uintptr_t)start > facts->bytes + BEFORE_MOST) {
                *facts = (debug_facts){0};
            }
            return;
        }
        at = start - 1;
    }
}

static void judge_front(debug_finding *f, debug_malloc *m, const void *block)
{
    uint64_t expected = 0;
    if (fields_stand(m, block, &expected)) {
        hm__debug_facts_fields(block, &f->facts);
        f->what = "write before the start of a block";
        f->figures[0] = expected;
        f->figures[1] = hm__debug_load(&hm__debug_header(block)->high);
        f->detail = detail_underrun;
        return;
    }
    f->what = "header of a block overwritten";
    f->detail = detail_header;
    f->hint =
        "a write far past the end of the block before it, or far before its own start";
    hm__debug_facts_before(hm__debug_header(block), &f->culprit);
}

void hm__debug_overrun(debug_finding *f, uint64_t expected, uint64_t found)
{
    f->what = "write past the end of a block";
    f->figures[0] = expected;
    f->figures[1] = found;
    f->detail = detail_overrun;
    if ((expected ^ found) >> 8 == 0) {
        f->hint = (found & 255) == 0 ? "off by one: no room for the terminating NUL"
                                     : "off by one";
    }
}

void hm__debug_judge_damage(debug_malloc *m,
                            const void *block,
                            unsigned act,
                            hm_site *site)
{
    static const char *const labels[] = {"freed here", "realloc here", NULL};
    debug_finding f = {.status = HM_E_CORRUPT, .m = m, .pointer = block};
    debug_shape shape;
    f.here = hm__debug_place_here(labels[act], site);
    hm__debug_walk_begin();
    hm__debug_facts_read(block, DEBUG_LIVE, &f.facts);
    int damaged = 0;
    if (hm__debug_guarded_damage(block, &f, &damaged)) {
        f.what = damaged ? f.what : "edge of a block overwritten";
    } else if (f.facts.intact && hm__debug_shape_read(block, &shape)) {
        hm__debug_overrun(&f, hm__debug_rear(shape.hash),
                          hm__debug_rear_peek(block, shape.bytes));
    } else {
        judge_front(&f, m, block);
    }
    hm__debug_found(&f);
    hm__debug_walk_end();
}

/* How much of the fill is gone; the first place is printed with its bytes. */
static void detail_stale(debug_text *t, const debug_finding *f)
{
    const unsigned char *at = f->facts.block;
    const size_t bytes = f->facts.bytes;
    const size_t first = f->figures[0];
    hm__debug_put_label(t, "bytes");
    hm__debug_put(t, "+");
    hm__debug_put_number(t, first);
    hm__debug_put(t, ":");
    for (size_t i = first; i < first + 16 && i < bytes; i++) {
        if (at[i] == DEBUG_STALE) {
            hm__debug_put(t, " ..");
        } else {
            hm__debug_put(t, " [");
            hm__debug_put_byte(t, at[i]);
            hm__debug_put(t, "]");
        }
    }
    hm__debug_put(t, "\n");
}

static size_t first_changed(const debug_malloc *m, const unsigned char *at, size_t bytes)
{
    const size_t from = hm__debug_stale_from(m->edge);
    const int whole = m->fill == DEBUG_FILL_ALL || bytes - from < DEBUG_FILL_WHOLE;
    for (size_t i = from; i < bytes && m->fill != DEBUG_FILL_NONE; i++) {
        const int filled =
            whole || i - from < DEBUG_FILL_HEAD || bytes - i <= DEBUG_FILL_TAIL;
        if (filled && at[i] != DEBUG_STALE) {
            return i;
        }
    }
    return bytes;
}

void hm__debug_found_stale_write(debug_malloc *m, const void *block)
{
    debug_finding f = {
        .status = HM_E_CORRUPT, .what = "write after free", .m = m, .pointer = block};
    hm__debug_facts_read(block, DEBUG_FREED, &f.facts);
    if (!f.facts.intact) {
        f.what = "header of a freed block overwritten";
        f.detail = detail_header;
    } else {
        f.figures[0] = first_changed(m, block, f.facts.bytes);
        if (f.figures[0] < f.facts.bytes) {
            f.detail = detail_stale;
        } else {
            f.what = "write past the end of a freed block";
        }
    }
    f.hint = "found when the block was about to go back to its allocator";
    hm__debug_found(&f);
    __atomic_add_fetch(&m->damaged, 1, __ATOMIC_RELAXED);
}

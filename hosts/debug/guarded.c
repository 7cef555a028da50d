/* SPDX-License-Identifier: MIT */
/* The life of a guarded block: counted, judged and reported as any other. */
#include "guarded_internal.h"

#include "fill_internal.h"
#include "ignore_internal.h"
#include "scope_internal.h"

#include <string.h>

/* What lies around the user's bytes: the rear guard's word again and again, from the block's end on and back from its
   start. */
static unsigned char pattern_byte(const debug_slot *slot, size_t distance)
{
    return (unsigned char)(hm__debug_rear(slot->hash) >> 8 * (distance & 7));
}

static void edges_write(const debug_slot *slot)
{
    unsigned char *block = slot->block;
    const size_t front = (size_t)((char *)slot->block - slot->data);
    const size_t rear = slot->data_bytes - front - slot->bytes;
    for (size_t i = 0; i < rear; i++) {
        block[slot->bytes + i] = pattern_byte(slot, i);
    }
    for (size_t i = 1; i <= front; i++) {
        block[-(ptrdiff_t)i] = pattern_byte(slot, 8 - (i & 7));
    }
}

static void seal(debug_malloc *m,
                 debug_slot *slot,
                 const debug_account *account,
                 size_t size,
                 int zeroed)
{
    char *end = slot->data + slot->data_bytes;
    const int left = hm__debug_guarded_left(m->host->guarded);
    const uintptr_t mask = ~(uintptr_t)(slot->alignment - 1);
    slot->block = left ? slot->data : (void *)(((uintptr_t)end - size) & mask);
    slot->bytes = size;
    const uint64_t serial = hm__debug_count_in(account->book, account->tally, size);
    slot->low = (uint64_t)account->site << 32 | hm__debug_thread_low();
    slot->high = m->high | (serial & DEBUG_SERIAL_MAX) << 16;
    slot->hash = hm__debug_mix(slot->block, slot->low, slot->high);
    edges_write(slot);
    if (!zeroed) {
        hm__debug_fill(slot->block, size, DEBUG_FRESH, m->fill);
    }
    hm__debug_slot_publish(slot);
}

int hm__debug_guarded_alloc(
    debug_malloc *m, size_t size, size_t alignment, hm_site *site, int zeroed, void **out)
{
    *out = NULL;
    const int possible = alignment && !(alignment & (alignment - 1)) &&
                         hm__debug_attach() && size < DEBUG_BYTES_MAX;
    alignment = alignment < 16 ? 16 : alignment;
    debug_slot *slot = possible ? hm__debug_slot_take(m->host, size, alignment) : NULL;
    if (!slot) {
        return 0;
    }
    if (hm__debug_scoped) {
        site = hm__debug_scope_site(m, site);
        hm__debug_scope_check(m, site);
    }
    const uint32_t id = hm__debug_site_number(site);
    debug_book *book = hm__debug_book_find(m);
    const debug_account account = {book, book ? hm__debug_tally_find(book, id) : NULL,
                                   id};
    const char *last = slot->data + slot->data_bytes;
    if (!account.tally || !hm__block_map_grow(&hm__debug.map, slot->data) ||
        !hm__block_map_grow(&hm__debug.map, last) ||
        !hm__debug_limit_take(m, book, size)) {
        hm__debug_slot_drop(slot);
        hm__debug_count_failed(m);
        return 1;
    }
    const uint32_t before = hm__debug_step_enter(m, site);
    seal(m, slot, &account, size, zeroed);
    *out = slot->block;
    slot->ignored = (uint32_t)hm__debug_scope_ignores(m);
    if (slot->ignored) {
        DEBUG_SET(m->host->ignores, 1);
    }
    hm__block_map_set(&hm__debug.map, slot->block, DEBUG_GUARDED);
    hm__debug_step_leave(m, before);
    return 1;
}

int hm__debug_guarded_claim(debug_malloc *m,
                            void *block,
                            debug_claim_opts *opts,
                            debug_shape *shape,
                            hm_status *status)
{
    const hm__block_map *map = &hm__debug.map;
    const unsigned to = opts->to == DEBUG_MOVING ? opts->to : DEBUG_GUARD_FREED;
    if (!DEBUG_GET(hm__debug_guarded_some) ||
        !hm__block_map_claim(map, block, DEBUG_GUARDED, to)) {
        return 0;
    }
    const debug_slot *slot = hm__debug_slot_of(block);
    const size_t alignment = opts->alignment < 16 ? 16 : opts->alignment;
    opts->from = DEBUG_GUARDED;
    hm__debug_slot_shape(block, shape);
    *status = HM_OK;
    if (hm__debug_high_owner(slot->high) != m->number) {
        *status = hm__debug_judge_owner(m, block, opts->act, opts->site);
    } else if ((opts->size != HM_SIZE_UNKNOWN && opts->size != slot->bytes) ||
               (opts->alignment && alignment != slot->alignment)) {
        *status = hm__debug_judge_size(m, block, opts->size, opts->alignment, opts->act,
                                       opts->site);
    } else if (hm__debug_is_damaged(block)) {
        hm__debug_judge_damage(m, block, opts->act, opts->site);
        *status = HM_E_CORRUPT;
    }
    if (*status != HM_OK && *status != HM_E_CORRUPT) {
        hm__block_map_set(map, block, DEBUG_GUARDED);
    }
    return 1;
}

static void retire(debug_slot *slot, uint32_t site)
{
    const debug_thread *me = hm__debug_self();
    hm__block_map_set(&hm__debug.map, slot->block, DEBUG_GUARD_FREED);
    hm__debug_slot_retire(slot, site, me ? (uint32_t)(me->low >> 52) : 0);
}

int hm__debug_guarded_free(debug_malloc *m, void *block, uint32_t site)
{
    debug_slot *slot = hm__debug_slot_of(block);
    if (slot) {
        hm__debug_count_out(m, hm__debug_low_site(slot->low), slot->bytes);
        hm__debug_limit_give(m, slot->bytes);
        retire(slot, site);
    }
    return slot != NULL;
}

/* Always to another place, guarded again while there are slots: pointers to the old one fault from here on. */
int hm__debug_guarded_move(
    debug_malloc *m, void *block, size_t size, hm_level level, hm_site *site, void **out)
{
    debug_slot *slot = hm__debug_slot_of(block);
    void *base = NULL, *fresh = NULL;
    *out = NULL;
    if (!slot) {
        return 0;
    }
    const uint32_t born = hm__debug_low_site(slot->low);
    const uint32_t id = site ? hm__debug_site_number(site) : born;
    debug_book *book = hm__debug_attach() ? hm__debug_book_find(m) : NULL;
    const debug_account account = {book, book ? hm__debug_tally_find(book, id) : NULL,
                                   id};
    if (!account.tally) {
        return 1;
    }
    const size_t kept = size < slot->bytes ? size : slot->bytes;
    debug_slot *other = hm__debug_slot_take(m->host, size, 16);
    if (other && hm__block_map_grow(&hm__debug.map, other->data) &&
        hm__block_map_grow(&hm__debug.map, other->data + other->data_bytes)) {
        hm__debug_count_out(m, born, slot->bytes);
        seal(m, other, &account, size, 0);
        fresh = other->block;
        memcpy(fresh, block, kept);
        hm__block_map_set(&hm__debug.map, fresh, DEBUG_GUARDED);
    } else {
        if (other) {
            hm__debug_slot_drop(other);
        }
        fresh = hm__debug_block_reserve(m, size, 16, level, 0, &base);
        if (!fresh) {
            return 1;
        }
        hm__debug_count_out(m, born, slot->bytes);
        hm__debug_fill((char *)fresh + kept, size - kept, DEBUG_FRESH, m->fill);
        memcpy(fresh, block, kept);
        hm__debug_block_seal(m, &account, fresh, base, size, 16);
    }
    if (slot->ignored && !hm__debug_guarded_ignore(fresh)) {
        hm__debug_ignore_fresh(m->host, fresh);
    }
    retire(slot, id);
    *out = fresh;
    return 1;
}

int hm__debug_guarded_ignore(const void *block)
{
    debug_slot *slot = hm__debug_slot_of(block);
    if (slot) {
        slot->ignored = 1;
    }
    return slot != NULL;
}

int hm__debug_guarded_is_ignored(const void *block)
{
    const debug_slot *slot = hm__debug_slot_of(block);
    return slot && slot->ignored;
}

/* The byte that was overwritten, and those of its pattern around it. */
static void detail_far(debug_text *t, const debug_finding *f)
{
    hm__debug_put_label(t, "bytes");
    hm__debug_put(t, f->text);
    hm__debug_put_number(t, f->figures[0]);
    hm__debug_put(t, ": [");
    hm__debug_put_byte(t, (unsigned)f->figures[1]);
    hm__debug_put(t, "]\n");
}

static uint64_t word_at(const unsigned char *at, size_t most, uint64_t expected)
{
    uint64_t word = expected;
    for (size_t i = 0; i < 8 && i < most; i++) {
        word &= ~(UINT64_C(255) << 8 * i);
        word |= (uint64_t)at[i] << 8 * i;
    }
    return word;
}

/* One path for asking and telling: f is NULL when nobody wants to know what is wrong. */
static int damage(const debug_slot *slot, debug_finding *f)
{
    const unsigned char *block = slot->block;
    const size_t front = (size_t)((const char *)slot->block - slot->data);
    const size_t rear = slot->data_bytes - front - slot->bytes;
    debug_finding none;
    f = f ? f : &none;
    for (size_t i = 0; i < rear; i++) {
        if (block[slot->bytes + i] != pattern_byte(slot, i)) {
            const uint64_t expected = hm__debug_rear(slot->hash);
            f->what = "write past the end of a block";
            if (i < 8) {
                hm__debug_overrun(f, expected,
                                  word_at(block + slot->bytes, rear, expected));
            } else {
                f->text = "+";
                f->figures[0] = slot->bytes + i;
                f->figures[1] = block[slot->bytes + i];
                f->detail = detail_far;
            }
            return 1;
        }
    }
    for (size_t i = 1; i <= front; i++) {
        if (block[-(ptrdiff_t)i] != pattern_byte(slot, 8 - (i & 7))) {
            f->what = "write before the start of a block";
            f->text = "-";
            f->figures[0] = i;
            f->figures[1] = block[-(ptrdiff_t)i];
            f->detail = detail_far;
            return 1;
        }
    }
    return 0;
}

int hm__debug_guarded_damage(const void *block, debug_finding *f, int *damaged)
{
    const debug_slot *slot = hm__debug_slot_of(block);
    if (slot) {
        *damaged = !slot->is_freed && damage(slot, f);
    }
    return slot != NULL;
}

/* SPDX-License-Identifier: MIT */
/* Slots and notes: how a block finds the host it was born on, and how that host is let go after its last block.
 *
 *     inner block: note | ... | note | user's bytes       one note where the alignment is the usual one
 *                  ^raw             ^raw + offset
 *
 * A note names its slot by a number in a table, never by address, and carries a check over everything in it and
 * the block's own address: what is no block of ours is not followed.
 *
 * Letting go is exact without a lock on the way of a block. Whoever makes a block first counts itself into the
 * slot's stripes and then looks again whether the slot is still current; a swap first moves `current` on, then
 * marks the slot old, then adds the stripes up. All of it is ordered sequentially, so either the maker sees
 * the swap and turns back, or the swap sees the maker; and of those who take the last blocks away one sees a
 * sum of zero, which for an old slot stays zero. */
#include "swap_internal.h"

#include <string.h>

#define CHUNK      1024u
#define CHUNKS     1024u
#define PLACE_BITS 6u

typedef struct note {
    uint32_t check;
    uint32_t place; /* of the slot in the table, and log2 of the offset */
    uint64_t bytes;
} note;

_Static_assert(sizeof(note) == SWAP_NOTE_BYTES, "keeps the usual alignment");

static const hm_core *core;
static uint64_t cookie;
static hm_lock table_lock;
static swap_slot **chunks[CHUNKS]; /* atomic pointers, both levels; chunks stay */
static uint32_t first_unused; /* where to look for a free place; guarded by table_lock */

void hm__swap_slots_begin(const hm_core *from)
{
    core = from;
    core->random(&cookie, sizeof cookie);
}

void hm__swap_slots_lock(void)
{
    core->lock(&table_lock);
}

void hm__swap_slots_unlock(void)
{
    core->unlock(&table_lock);
}

static swap_slot *slot_at(uint32_t index)
{
    swap_slot **chunk = index / CHUNK < CHUNKS
                            ? __atomic_load_n(&chunks[index / CHUNK], __ATOMIC_ACQUIRE)
                            : NULL;
    return chunk ? __atomic_load_n(&chunk[index % CHUNK], __ATOMIC_ACQUIRE) : NULL;
}

/* Put a slot into the table; 0: it is full, or there is no memory. */
static int table_add(swap_slot *slot)
{
    int added = 0;
    core->lock(&table_lock);
    for (uint32_t i = first_unused; !added && i < CHUNK * CHUNKS; i++) {
        swap_slot ***chunk = &chunks[i / CHUNK];
        if (!*chunk) {
            swap_slot **made = core->memory_alloc(CHUNK * sizeof *made);
            if (!made) {
                break;
            }
            __atomic_store_n(chunk, made, __ATOMIC_RELEASE);
        }
        if (!(*chunk)[i % CHUNK]) {
            slot->index = i;
            __atomic_store_n(&(*chunk)[i % CHUNK], slot, __ATOMIC_RELEASE);
            first_unused = i + 1;
            added = 1;
        }
    }
    core->unlock(&table_lock);
    return added;
}

static void table_remove(const swap_slot *slot)
{
    core->lock(&table_lock);
    __atomic_store_n(&chunks[slot->index / CHUNK][slot->index % CHUNK], (swap_slot *)NULL,
                     __ATOMIC_RELEASE);
    first_unused = slot->index < first_unused ? slot->index : first_unused;
    core->unlock(&table_lock);
}

swap_slot *hm__swap_slot_take(swap_malloc *m, hm_malloc *inner)
{
    swap_slot *slot = m->slots;
    while (slot && slot->inner) {
        slot = slot->next;
    }
    if (!slot) {
        slot = core->memory_alloc(sizeof *slot);
        if (!slot || !table_add(slot)) {
            core->memory_free(slot, sizeof *slot);
            return NULL;
        }
        slot->owner = m;
        slot->next = m->slots;
        m->slots = slot;
    }
    slot->inner = inner;
    return slot;
}

void hm__swap_slots_drop(swap_malloc *m)
{
    while (m->slots) {
        swap_slot *slot = m->slots;
        m->slots = slot->next;
        table_remove(slot);
        hm_malloc_release(slot->inner);
        core->memory_free(slot, sizeof *slot);
    }
}

static int64_t *own_stripe(swap_slot *slot)
{
    return &slot->stripes[core->thread_id() % SWAP_STRIPES].held;
}

swap_slot *hm__swap_pin(swap_malloc *m)
{
    for (;;) {
        swap_slot *slot = __atomic_load_n(&m->current, __ATOMIC_ACQUIRE);
        __atomic_fetch_add(own_stripe(slot), 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&m->current, __ATOMIC_SEQ_CST) == slot) {
            return slot;
        }
        hm__swap_unpin(slot);
    }
}

int64_t hm__swap_held(const swap_slot *slot)
{
    int64_t sum = 0;
    for (size_t i = 0; i < SWAP_STRIPES; i++) {
        sum += __atomic_load_n(&slot->stripes[i].held, __ATOMIC_SEQ_CST);
    }
    return sum;
}

int hm__swap_is_waiting(const swap_slot *slot)
{
    return __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == SLOT_OLD;
}

/* An old slot without blocks is given up, by one of those who find it so. */
static void let_go(swap_slot *slot)
{
    swap_malloc *m = slot->owner;
    hm_malloc *inner = NULL;
    if (hm__swap_held(slot) != 0) {
        return;
    }
    core->lock(&m->lock);
    if (hm__swap_is_waiting(slot) && hm__swap_held(slot) == 0) {
        inner = slot->inner;
        slot->inner = NULL;
        __atomic_store_n(&slot->state, SLOT_FREE, __ATOMIC_SEQ_CST);
    }
    core->unlock(&m->lock);
    hm_malloc_release(inner);
}

void hm__swap_unpin(swap_slot *slot)
{
    __atomic_fetch_sub(own_stripe(slot), 1, __ATOMIC_SEQ_CST);
    if (hm__swap_is_waiting(slot)) {
        let_go(slot);
    }
}

void hm__swap_retire(swap_slot *slot)
{
    __atomic_store_n(&slot->state, SLOT_OLD, __ATOMIC_SEQ_CST);
    let_go(slot);
}

static uint32_t check_of(const void *user, uint32_t place, uint64_t bytes)
{
    uint64_t mixed = (uint64_t)(uintptr_t)user ^ cookie;
    mixed = (mixed ^ bytes) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 32;
    mixed = (mixed ^ place) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(mixed >> 32);
}

void *hm__swap_note_write(swap_slot *slot, void *raw, size_t bytes, size_t offset)
{
    char *user = (char *)raw + offset;
    const uint32_t place =
        slot->index << PLACE_BITS | (uint32_t)__builtin_ctzll((unsigned long long)offset);
    const note written = {check_of(user, place, bytes), place, bytes};
    if (offset > SWAP_NOTE_BYTES) {
        memcpy(raw, &written,
               sizeof written); /* for a walk, which starts from the inner block */
    }
    memcpy(user - SWAP_NOTE_BYTES, &written, sizeof written);
    return user;
}

int hm__swap_note_read(const void *user, swap_block *out)
{
    note found;
    if ((uintptr_t)user < SWAP_NOTE_BYTES || (uintptr_t)user % SWAP_NOTE_BYTES) {
        return 0;
    }
    memcpy(&found, (const char *)user - SWAP_NOTE_BYTES, sizeof found);
    if (found.check != check_of(user, found.place, found.bytes)) {
        return 0;
    }
    out->slot = slot_at(found.place >> PLACE_BITS);
    out->offset = (size_t)1 << (found.place & ((1u << PLACE_BITS) - 1));
    out->raw = (char *)(uintptr_t)((uintptr_t)user - out->offset);
    out->bytes = (size_t)found.bytes;
    return out->slot != NULL;
}

void hm__swap_note_spoil(void *user)
{
    uint32_t check;
    memcpy(&check, (char *)user - SWAP_NOTE_BYTES, sizeof check);
    check = ~check;
    memcpy((char *)user - SWAP_NOTE_BYTES, &check, sizeof check);
}

/* A host that cannot tell whose a pointer is leaves only the note to go by. */
static int find_exactly(swap_malloc *m, const void *user, swap_block *out)
{
    const uintptr_t address = (uintptr_t)user;
    int found = 0, trusts = 0;
    core->lock(&m->lock);
    for (swap_slot *slot = m->slots; slot && !found; slot = slot->next) {
        if (slot->inner && !hm__swap_is_exact(slot->inner)) {
            trusts = 1;
            continue;
        }
        for (uintptr_t offset = SWAP_NOTE_BYTES;
             slot->inner && !found && offset < address && address % offset == 0;
             offset *= 2) {
            found = hm_owns(slot->inner, (const void *)(address - offset)) == 1 &&
                    hm__swap_note_read(user, out) && out->slot == slot &&
                    out->offset == offset;
        }
    }
    core->unlock(&m->lock);
    return found || (trusts && hm__swap_note_read(user, out) && out->slot->owner == m &&
                     !hm__swap_is_exact(out->slot->inner));
}

int hm__swap_find(swap_malloc *m, const void *user, swap_block *out)
{
    return hm__swap_is_exact(&m->layer.base)
               ? find_exactly(m, user, out)
               : hm__swap_note_read(user, out) && out->slot->owner == m;
}

/* SPDX-License-Identifier: MIT */
/* A mark for every address where a block may start, apart from the blocks, so that a pointer is judged without
 * reading through it.
 *
 * Marks lie in leaves, found by hashing the upper part of an address and never removed while the marks live, so
 * readers take no lock. A mark changes hands atomically: of two threads that free a block one gets it. Whoever
 * reads a block's size holds its mark meanwhile, under the lock, and a free waits for that. */
#ifndef HM_PLUGINS_KNOWN_MARKS_INTERNAL_H
#define HM_PLUGINS_KNOWN_MARKS_INTERNAL_H

#include <stdalign.h>

#include <hostmalloc/module.h>

#define HM__MARK_GRANULE_BITS (alignof(max_align_t) >= 16 ? 4 : 3)
#define HM__MARK_GRANULE      ((uintptr_t)1 << HM__MARK_GRANULE_BITS)
#define HM__MARK_LEAF_BITS    24 /* of address space: 16 MiB */
#define HM__MARK_LEAF         ((size_t)1 << (HM__MARK_LEAF_BITS - HM__MARK_GRANULE_BITS))
#define HM__MARK_LEAVES       ((size_t)1 << 16) /* a TiB of blocks */

/* Marks are the owner's numbers, 1 to HM__MARK_MOST; 0 where no block starts. */
#define HM__MARK_HELD UINT32_C(0x80000000)
#define HM__MARK_MOST (HM__MARK_HELD - 1)

typedef struct hm__mark_leaf {
    uintptr_t
        key; /* atomic; the upper part of its addresses plus 1, or 0; written last */
    uint32_t *marks; /* each atomic */
} hm__mark_leaf;

typedef struct hm__marks {
    hm__mark_leaf *leaves; /* HM__MARK_LEAVES */
    hm_lock lock;          /* guards new leaves and holds marks together */
} hm__marks;

int hm__marks_open(hm__marks *marks); /* 1 done */
void hm__marks_close(hm__marks *marks);

/* The mark of an address that hm__marks_find() has none for: its leaf is made. NULL when there is no memory, or no
   block can start there. */
uint32_t *hm__marks_make(hm__marks *marks, const void *block);

/* hm__marks_take() of a mark that is held just now. */
uint32_t hm__marks_take_held(hm__marks *marks, uint32_t *mark);

/* With the lock held: 0 when no block lives there, else its mark, which stays until it is put back. */
uint32_t hm__marks_hold(uint32_t *mark);

/* With the lock held: every live block, its mark held; a value other than 0 ends it. */
int hm__marks_walk(hm__marks *marks,
                   int (*visit)(void *context, void *block, uint32_t mark),
                   void *context);

static inline void hm__marks_put(uint32_t *mark, uint32_t value)
{
    __atomic_store_n(mark, value, __ATOMIC_RELEASE);
}

static inline uintptr_t hm__marks_key(const void *block)
{
    return ((uintptr_t)block >> HM__MARK_LEAF_BITS) + 1;
}

/* The leaf with this key, or the empty place where it would go; NULL when the table is full. */
static inline hm__mark_leaf *hm__marks_leaf(const hm__marks *marks, uintptr_t key)
{
    const size_t home = (size_t)(((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
    for (size_t i = 0; i < HM__MARK_LEAVES; i++) {
        hm__mark_leaf *at = &marks->leaves[(home + i) & (HM__MARK_LEAVES - 1)];
        const uintptr_t seen = __atomic_load_n(&at->key, __ATOMIC_ACQUIRE);
        if (seen == key || seen == 0) {
            return at;
        }
    }
    return NULL;
}

/* NULL where no block of ours starts. */
static inline uint32_t *hm__marks_find(const hm__marks *marks, const void *block)
{
    const uintptr_t a = (uintptr_t)block;
    const hm__mark_leaf *at =
        a & (HM__MARK_GRANULE - 1) ? NULL : hm__marks_leaf(marks, hm__marks_key(block));
    if (!at || __atomic_load_n(&at->key, __ATOMIC_ACQUIRE) == 0) {
        return NULL;
    }
    return &at->marks[(a & (((uintptr_t)1 << HM__MARK_LEAF_BITS) - 1)) >>
                      HM__MARK_GRANULE_BITS];
}

/* Nobody else gets this block from here on. 0 when none lives there. mark may be NULL. */
static inline uint32_t hm__marks_take(hm__marks *marks, uint32_t *mark)
{
    uint32_t seen = mark ? __atomic_load_n(mark, __ATOMIC_ACQUIRE) : 0;
    while (seen && !(seen & HM__MARK_HELD)) {
        if (__atomic_compare_exchange_n(mark, &seen, 0, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            return seen;
        }
    }
    return seen ? hm__marks_take_held(marks, mark) : 0;
}

#endif

/* SPDX-License-Identifier: MIT */
/* Patterns in memory nobody has written yet (0xCD) and in memory already freed (0xDD). As eight-byte words both
 * are addresses no program can use, so a stale or unset pointer faults at its first use. In the default mode only
 * the first and last 32 bytes of freed blocks are filled, which are looked at again, and so those of up to 64 bytes as a
 * whole, and the first and last 16 of fresh ones: filling all of all blocks costs more than everything else this host
 * does. */
#ifndef HM_DEBUG_FILL_INTERNAL_H
#define HM_DEBUG_FILL_INTERNAL_H

#include "debug_internal.h"

#define DEBUG_FRESH      0xCDu
#define DEBUG_STALE      0xDDu
#define DEBUG_FILL_WHOLE 65u /* smaller blocks are filled as a whole */
#define DEBUG_FILL_HEAD  32u
#define DEBUG_FILL_TAIL  32u
#define DEBUG_FILL_FRESH 16u /* as the head and tail of fresh blocks */

#if defined(__GNUC__)
typedef uint64_t debug_pair __attribute__((vector_size(16), aligned(1), may_alias));
#define DEBUG_PAIR(word) ((debug_pair){(word), (word)})
#else
#error "debug_pair needs a compiler with vectors of GNU C"
#endif

/* The first and last `reach` bytes, 16 or 32. */
DEBUG_INLINE void
hm__debug_fill_ends(void *block, size_t bytes, uint64_t byte, const size_t reach)
{
    const uint64_t word = byte * UINT64_C(0x0101010101010101);
    const debug_pair pair = DEBUG_PAIR(word);
    char *head = block;
    char *tail = head + bytes;
    if (!DEBUG_RARE(bytes < 16)) {
        *(debug_pair *)(void *)head = pair;
        *(debug_pair *)(void *)(tail - 16) = pair;
        if (reach > 16) {
            /* No branch by size: sizes come in no order. */
            const size_t inner = bytes >= 32 ? 16 : bytes - 16;
            *(debug_pair *)(void *)(head + inner) = pair;
            *(debug_pair *)(void *)(tail - 16 - inner) = pair;
        }
    } else if (bytes >= 8) {
        memcpy(head, &word, 8);
        memcpy(tail - 8, &word, 8);
    } else if (bytes >= 4) {
        memcpy(head, &word, 4);
        memcpy(tail - 4, &word, 4);
    } else if (bytes) {
        head[0] = head[bytes / 2] = tail[-1] = (char)byte;
    }
}

#define DEBUG_FILL_INLINE 512u /* larger ones are worth a call */

DEBUG_INLINE void hm__debug_fill_all(void *block, size_t bytes, uint64_t byte)
{
    if (bytes < DEBUG_FILL_WHOLE) {
        hm__debug_fill_ends(block, bytes, byte, DEBUG_FILL_HEAD);
    } else if (bytes <= DEBUG_FILL_INLINE) {
        const uint64_t word = byte * UINT64_C(0x0101010101010101);
        const debug_pair pair = DEBUG_PAIR(word);
        char *last = (char *)block + bytes - 32;
        for (char *at = block; at < last; at += 32) {
            *(debug_pair *)(void *)at = pair;
            *(debug_pair *)(void *)(at + 16) = pair;
        }
        *(debug_pair *)(void *)last = pair;
        *(debug_pair *)(void *)(last + 16) = pair;
    } else {
        memset(block, (int)byte, bytes);
    }
}

DEBUG_INLINE void
hm__debug_fill(void *block, size_t bytes, uint64_t byte, const uint32_t mode)
{
    if (mode == DEBUG_FILL_ENDS) {
        hm__debug_fill_ends(block, bytes, byte,
                            byte == DEBUG_FRESH ? DEBUG_FILL_FRESH : DEBUG_FILL_HEAD);
    } else if (mode == DEBUG_FILL_ALL) {
        hm__debug_fill_all(block, bytes, byte);
    }
}

/* 0 when the stale fill of the ends is still all there. */
DEBUG_INLINE uint64_t hm__debug_fill_ends_changed(const void *block, size_t bytes)
{
    const uint64_t word = DEBUG_STALE * UINT64_C(0x0101010101010101);
    const debug_pair pair = DEBUG_PAIR(word);
    const char *head = block;
    const char *tail = head + bytes;
#define DEBUG_DIFFERS(at) (*(const debug_pair *)(const void *)(at) ^ pair)
    if (!DEBUG_RARE(bytes < 16)) {
        const size_t inner = bytes >= 32 ? 16 : bytes - 16;
        const debug_pair seen = DEBUG_DIFFERS(head) | DEBUG_DIFFERS(head + inner) |
                                DEBUG_DIFFERS(tail - 16 - inner) |
                                DEBUG_DIFFERS(tail - 16);
        return seen[0] | seen[1];
    }
    uint64_t first = word, last = word;
    if (bytes >= 8) {
        memcpy(&first, head, 8);
        memcpy(&last, tail - 8, 8);
    } else {
        memcpy(&first, head, bytes);
    }
    return (first ^ word) | (last ^ word);
}

/* 0 when all of the stale fill is there. */
DEBUG_INLINE uint64_t hm__debug_fill_all_changed(const void *block, size_t bytes)
{
    if (bytes < DEBUG_FILL_WHOLE) {
        return hm__debug_fill_ends_changed(block, bytes);
    }
    const uint64_t word = DEBUG_STALE * UINT64_C(0x0101010101010101);
    const debug_pair pair = DEBUG_PAIR(word);
    const char *last = (const char *)block + bytes - 32;
    debug_pair seen = DEBUG_DIFFERS(last) | DEBUG_DIFFERS(last + 16);
    for (const char *at = block; at < last; at += 32) {
        seen |= DEBUG_DIFFERS(at) | DEBUG_DIFFERS(at + 16);
    }
#undef DEBUG_DIFFERS
    return seen[0] | seen[1];
}

DEBUG_INLINE int
hm__debug_fill_intact(const void *block, size_t bytes, const uint32_t mode)
{
    return mode == DEBUG_FILL_ENDS  ? !hm__debug_fill_ends_changed(block, bytes)
           : mode == DEBUG_FILL_ALL ? !hm__debug_fill_all_changed(block, bytes)
                                    : 1;
}

/* A block just freed: filled, and marked with who did it. */
DEBUG_INLINE void hm__debug_mark_stale(
    void *block, size_t bytes, uint64_t epitaph, const size_t edge, const uint32_t fill)
{
    const size_t from = hm__debug_stale_from(edge);
    if (!from || bytes > from) {
        hm__debug_fill((char *)block + from, bytes - from, DEBUG_STALE, fill);
    }
    hm__debug_rear_store(block, hm__debug_epitaph_at(bytes, edge), epitaph);
}

#endif

/* SPDX-License-Identifier: MIT */
/* How a block of the debug host looks in memory, and the seal that shows whether somebody wrote over its edges.
 *
 *     inner block: [ padding, origin ] header (16) | requested bytes | rear guard (8) | slack
 *                                                  ^ what the user holds, 16-aligned
 *
 * The header is two words, little-endian in memory, so that the last byte before the user's is the seal's:
 *
 *     low    size 32, site 20, thread 12
 *     high   owner 16, serial 20, generation 8, seal 20
 *
 * Seal and rear guard are both cut from one hash of the address, the other 108 bits and a random cookie, so a
 * changed header shows twice and a guard copied from a neighbour does not pass. The guard bytes that touch the
 * user's are 0xF8 to 0xFB: never 0 (the commonest overrun is a terminating NUL), never ASCII, never part
 * of valid UTF-8, never -1; the guard's others are never 0 nor ASCII. A block of 4 GiB and more, or of a larger alignment, says LONG in its size field
 * and keeps an origin (16 more bytes) before the header. After the free the rear guard's place holds the
 * epitaph: who freed it and where.
 *
 * A malloc may go without rear guards (edges=no): then the epitaph is the first word of what was the user's, and room
 * for it is made. One that only counts (mode=stats) goes without hashes too: its seal is the same on every header. */
#ifndef HM_DEBUG_BLOCK_INTERNAL_H
#define HM_DEBUG_BLOCK_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define DEBUG_RARE(condition) __builtin_expect(!!(condition), 0)
#define DEBUG_PREFETCH(place) __builtin_prefetch(place)
#ifdef __ELF__
#define DEBUG_HIDDEN __attribute__((visibility("hidden"))) /* reached without a table */
#else
#define DEBUG_HIDDEN
#endif
#define DEBUG_UNSYNCHRONISED __attribute__((noinline, no_sanitize("thread")))
#define DEBUG_COLD           __attribute__((noinline, cold))
#define DEBUG_APART          __attribute__((noinline))
#define DEBUG_INLINE         static inline __attribute__((always_inline))
#else
#define DEBUG_RARE(condition) (condition)
#define DEBUG_PREFETCH(place) ((void)0)
#define DEBUG_HIDDEN
#define DEBUG_UNSYNCHRONISED
#define DEBUG_COLD
#define DEBUG_APART
#define DEBUG_INLINE static inline
#endif

/* Words with one writer and any reader. Adding is a plain add outside race detectors: compilers make three
   instructions of a relaxed load, an add and a relaxed store, and one of this; nobody tears an aligned word. */
#define DEBUG_SET(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)
#define DEBUG_GET(place)        __atomic_load_n(&(place), __ATOMIC_RELAXED)
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DEBUG_RACES_SEEN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define DEBUG_RACES_SEEN 1
#endif
#ifdef DEBUG_RACES_SEEN
#define DEBUG_ADD(place, amount) DEBUG_SET(place, (place) + (amount))
#define DEBUG_ADD_LAST(place, amount) \
    __atomic_store_n(&(place), (place) + (amount), __ATOMIC_RELEASE)
#else
#define DEBUG_ADD(place, amount)      ((void)((place) += (amount)))
#define DEBUG_ADD_LAST(place, amount) /* after all that was done before */ \
    (__atomic_thread_fence(__ATOMIC_RELEASE), DEBUG_ADD(place, amount))
#endif

/* States in the block map. */
#define DEBUG_LIVE        1u
#define DEBUG_FREED       2u /* held back, header and epitaph readable */
#define DEBUG_GONE        3u /* given back to the inner malloc: never read again */
#define DEBUG_DAMAGED     4u /* an edge was overwritten: readable, never given back */
#define DEBUG_MOVING      5u /* inside the inner malloc's realloc */
#define DEBUG_IGNORED     6u /* live, but no leak; off the hot path */
#define DEBUG_GUARDED     7u /* live, on pages of its own; see guarded_internal.h */
#define DEBUG_GUARD_FREED 8u /* those pages are protected */
#define DEBUG_LIVE_STATES (1u << DEBUG_LIVE | 1u << DEBUG_IGNORED | 1u << DEBUG_GUARDED)

#define DEBUG_HEADER_BYTES  16u
#define DEBUG_ORIGIN_BYTES  16u
#define DEBUG_GUARD_BYTES   8u
#define DEBUG_EPITAPH_BYTES 8u

#define DEBUG_LONG       UINT32_MAX /* in the size field: the origin knows */
#define DEBUG_SITE_MAX   ((1u << 20) - 1)
#define DEBUG_THREAD_MAX ((1u << 12) - 1)
#define DEBUG_OWNER_MAX  ((1u << 16) - 1)
#define DEBUG_SERIAL_MAX ((1u << 20) - 1)
#define DEBUG_BYTES_MAX  ((size_t)1 << 46) /* larger requests are refused */

typedef struct debug_header {
    uint64_t low;
    uint64_t high;
} debug_header;

/* Before the header of a LONG block; read only after the header's seal was found good. Both words carry a part
   of a hash of their own, because the bytes say where the rear guard is. */
typedef struct debug_origin {
    uint64_t base;  /* the inner block's address 47, hash 17 */
    uint64_t bytes; /* requested 46, binary logarithm of the alignment 6, hash 12 */
} debug_origin;

_Static_assert(sizeof(debug_header) == DEBUG_HEADER_BYTES, "header is 16 bytes");
_Static_assert(sizeof(debug_origin) == DEBUG_ORIGIN_BYTES, "origin is 16 bytes");

#define DEBUG_SEAL_WIDTH 20u

/* What high says of a malloc and its blocks' seal: all but serial number and generation. */
#define DEBUG_HIGH_FIXED UINT64_C(0xFFFFF0000000FFFF)

extern DEBUG_HIDDEN uint64_t hm__debug_cookie; /* random, once per process */

static inline int hm__debug_is_live(unsigned state)
{
    return (DEBUG_LIVE_STATES >> state & 1) != 0;
}

static inline uint64_t hm__debug_little(uint64_t word)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

static inline debug_header *hm__debug_header(const void *block)
{
    return (debug_header *)((uintptr_t)block - DEBUG_HEADER_BYTES);
}

static inline debug_origin *hm__debug_origin(const void *block)
{
    return (debug_origin *)((uintptr_t)block - DEBUG_HEADER_BYTES - DEBUG_ORIGIN_BYTES);
}

/* Relaxed: a reader beside the owner may see an old word, never half of one. */
static inline uint64_t hm__debug_load(const uint64_t *word)
{
    return hm__debug_little(__atomic_load_n(word, __ATOMIC_RELAXED));
}

static inline void hm__debug_store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, hm__debug_little(value), __ATOMIC_RELAXED);
}

/* high's seal does not go into the hash: its bits are shifted out. */
static inline uint64_t hm__debug_mix(const void *block, uint64_t low, uint64_t high)
{
    const uint64_t hash =
        (low ^ high << DEBUG_SEAL_WIDTH ^ (uintptr_t)block ^ hm__debug_cookie) *
        UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

/* How the blocks of a malloc look, by its number. */
#define DEBUG_TRAIT_EDGES 1u /* they have a rear guard */
#define DEBUG_TRAIT_PLAIN 2u /* they have no hash */

/* What stands for the hash there. */
static inline uint64_t hm__debug_plain_hash(void)
{
    return hm__debug_cookie;
}

/* The seal is the upper bits of high: six that every block has, and fourteen of its hash. */
#define DEBUG_SEAL_ALWAYS (UINT64_C(0xF8000) << (64 - DEBUG_SEAL_WIDTH)) /* never ASCII */
#define DEBUG_SEAL_HASH   (UINT64_C(0x3FFF) << (64 - DEBUG_SEAL_WIDTH))

static inline uint64_t hm__debug_sealed(uint64_t high_without_hash, uint64_t hash)
{
    return high_without_hash | (hash & DEBUG_SEAL_HASH);
}

/* The seal of high is that of a block with this hash. */
static inline int hm__debug_is_sealed(uint64_t high, uint64_t hash)
{
    return (high ^ hm__debug_sealed(DEBUG_SEAL_ALWAYS, hash)) >>
               (64 - DEBUG_SEAL_WIDTH) ==
           0;
}

static inline uint64_t hm__debug_rear(uint64_t hash)
{
    return (hash & ~UINT64_C(0xFC)) | UINT64_C(0x80808080808080F8);
}

static inline uint64_t hm__debug_rear_load(const void *block, size_t bytes)
{
    uint64_t word;
    memcpy(&word, (const char *)block + bytes, sizeof(word));
    return hm__debug_little(word);
}

static inline void hm__debug_rear_store(void *block, size_t bytes, uint64_t word)
{
    word = hm__debug_little(word);
    memcpy((char *)block + bytes, &word, sizeof(word));
}

/* Fields. */
static inline uint32_t hm__debug_low_size(uint64_t low)
{
    return (uint32_t)low;
}

static inline uint32_t hm__debug_low_site(uint64_t low)
{
    return (uint32_t)(low >> 32) & DEBUG_SITE_MAX;
}

static inline uint32_t hm__debug_low_thread(uint64_t low)
{
    return (uint32_t)(low >> 52);
}

static inline uint32_t hm__debug_high_owner(uint64_t high)
{
    return (uint32_t)high & DEBUG_OWNER_MAX;
}

static inline uint32_t hm__debug_high_serial(uint64_t high)
{
    return (uint32_t)(high >> 16) & DEBUG_SERIAL_MAX;
}

static inline uint32_t hm__debug_high_generation(uint64_t high)
{
    return (uint32_t)(high >> 36) & 255;
}

/* Epitaph: where and by whom it was freed (thread as in a header's low word), and half of the hash to show that it is
   one. */
static inline uint64_t hm__debug_epitaph(uint64_t hash, uint32_t site, uint64_t thread)
{
    return site | thread >> 32 | (hash & ~UINT64_C(0xFFFFFFFF));
}

/* Where the epitaph of a freed block is, from its start on, and from where on the block is filled. */
static inline size_t hm__debug_epitaph_at(size_t bytes, size_t edge)
{
    return edge ? bytes : 0;
}

static inline size_t hm__debug_stale_from(size_t edge)
{
    return edge ? 0 : 8;
}

/* What header and origin say, once they were found good. */
typedef struct debug_shape {
    size_t bytes;     /* requested */
    size_t alignment; /* as asked for, 16 where less was */
    char *base;       /* the inner block */
    size_t edge;      /* bytes of rear guard: 8 or 0 */
    uint64_t hash;    /* what the rear guard is cut from */
} debug_shape;

/* guarded_slots.c: the same for a guarded block; 0: it is not one. */
extern DEBUG_HIDDEN uint32_t hm__debug_guarded_some; /* atomic: 1 once there was one */
int hm__debug_slot_shape(const void *block, debug_shape *shape);

/* The rear guard's word, read beside its owner, who may be writing it: a torn word looks damaged, and whoever asks
   looks again. */
uint64_t hm__debug_rear_peek(const void *block, size_t bytes);

/* block.c, for whoever is not in a hurry. 1 when header and origin are intact. */
int hm__debug_shape_read(const void *block, debug_shape *shape);
/* Inner bytes for a request; alignment is a power of two, 16 or more, edge the bytes of rear guard, least those that a
   block has at least (0, where there is a rear guard). 0: there is no such block. */
size_t hm__debug_inner_bytes(size_t bytes, size_t alignment, size_t edge, size_t least);
/* The same where no alignment was asked for. */
DEBUG_INLINE size_t hm__debug_whole(size_t size, size_t edge, size_t least)
{
    return DEBUG_HEADER_BYTES + (size < least ? least : size) + edge;
}
/* Where the user's block starts in an inner block of that many bytes. */
void *hm__debug_place(void *base, size_t bytes, size_t alignment);
/* Write header, origin where needed, and rear guard. */
void hm__debug_shape_write(void *block,
                           void *base,
                           size_t bytes,
                           size_t alignment,
                           uint64_t low_without_size,
                           uint64_t high_without_hash);

#endif

/* SPDX-License-Identifier: MIT */
/* The slot for everything rare. */
#include "kit.h"

static hm_request request_of(void *block, size_t bytes)
{
    hm_request r;
    memset(&r, 0, sizeof r);
    r.size = sizeof r;
    r.block = block;
    r.old_bytes = HM_SIZE_UNKNOWN;
    r.bytes = bytes;
    r.level = HM_LEVEL_CURRENT;
    return r;
}

static void *served(kit *k, const hm_request *r)
{
    void *block = NULL;
    const hm_status status = hm_malloc_request(k->m, r, &block);
    KIT_EXPECT(k, status == HM_OK, "HM_OK for a good request", "%s for %zu bytes at %zu",
               hm_status_name(status), r->bytes, r->alignment);
    KIT_EXPECT(k, block, "a block with HM_OK", "NULL");
    return block;
}

static void allocates(kit *k)
{
    for (size_t alignment = 0; alignment <= 4096;
         alignment = alignment ? 2 * alignment : 1) {
        hm_request r = request_of(NULL, 777);
        r.alignment = alignment;
        r.tag = 5;
        r.scope = 6;
        void *block = served(k, &r);
        KIT_EXPECT(k, kit_is_aligned(block, alignment > 16 ? alignment : 16),
                   "the alignment of the request", "%x for %zu",
                   (unsigned)((uintptr_t)block & 0xffff), alignment);
        kit_mark(block, 777, 1);
        kit_free(k, k->m, block);
    }
}

static void zeroed(kit *k)
{
    static const size_t alignments[] = {0, 64};
    for (size_t i = 0; i < 40; i++) {
        hm_request r = request_of(NULL, 100 + i * 50);
        void *dirty = kit_alloc(k, k->m, r.bytes);
        memset(dirty, 0xA5, r.bytes);
        kit_free(k, k->m, dirty);
        r.alignment = alignments[i % 2];
        r.flags = HM_REQUEST_ZEROED;
        void *block = served(k, &r);
        KIT_EXPECT(k, kit_is_zero(block, r.bytes), "bytes of zero with HM_REQUEST_ZEROED",
                   "others in a block of %zu", r.bytes);
        memset(block, 0x5A, r.bytes);
        kit_free(k, k->m, block);
    }
}

static void reallocates(kit *k)
{
    static const size_t alignments[] = {0, 16, 64, 4096};
    for (size_t i = 0; i < KIT_COUNT(alignments); i++) {
        void *block = kit_alloc(k, k->m, 48);
        kit_mark(block, 48, 2);
        hm_request r = request_of(block, 5000);
        r.old_bytes = i % 2 ? 48 : HM_SIZE_UNKNOWN;
        r.alignment = alignments[i];
        void *moved = served(k, &r);
        KIT_EXPECT(k, kit_is_aligned(moved, alignments[i] ? alignments[i] : 16),
                   "the alignment of the request", "%x for %zu",
                   (unsigned)((uintptr_t)moved & 0xffff), alignments[i]);
        KIT_EXPECT(k, kit_marked(moved, 48, 2) == 48, "the bytes of the old block",
                   "changed bytes");
        kit_free(k, k->m, moved);
    }
}

static void zeroes_what_is_new(kit *k)
{
    void *dirty = kit_alloc(k, k->m, 5000);
    memset(dirty, 0xA5, 5000);
    kit_free(k, k->m, dirty);
    void *block = kit_alloc(k, k->m, 48);
    kit_mark(block, 48, 2);
    hm_request r = request_of(block, 5000);
    r.old_bytes = 48;
    r.flags = HM_REQUEST_ZEROED;
    void *moved = served(k, &r);
    KIT_EXPECT(k, kit_marked(moved, 48, 2) == 48, "the bytes of the old block",
               "changed bytes");
    KIT_EXPECT(k, kit_is_zero((char *)moved + 48, 5000 - 48),
               "zero beyond the old block with HM_REQUEST_ZEROED", "other bytes");
    kit_free(k, k->m, moved);
}

static void expect_refused(kit *k, const hm_request *r, hm_status want, const char *what)
{
    int here = 0;
    void *out = &here;
    const hm_status status = hm_malloc_request(k->m, r, &out);
    KIT_EXPECT(k, status == want, want == HM_E_INVALID ? "HM_E_INVALID" : "HM_E_NOMEM",
               "%s for %s", hm_status_name(status), what);
    KIT_EXPECT(k, !out, "*out NULL unless HM_OK", "it was left alone for %s", what);
}

static void bad_refused(kit *k)
{
    const hm_request usual = request_of(NULL, 100);
    hm_request small = usual, crooked = usual, unknown = usual;
    small.size = 8;
    crooked.alignment = 24;
    unknown.flags = 0x80;
    expect_refused(k, NULL, HM_E_INVALID, "no request at all");
    expect_refused(k, &small, HM_E_INVALID, "a request of 8 bytes");
    expect_refused(k, &crooked, HM_E_INVALID, "alignment 24");
    expect_refused(k, &unknown, HM_E_INVALID, "an unknown flag");
    const hm_status status = hm_malloc_request(k->m, &usual, NULL);
    KIT_EXPECT(k, status == HM_E_INVALID, "HM_E_INVALID for out NULL", "%s",
               hm_status_name(status));
}

static void huge_refused(kit *k)
{
    void *block = kit_alloc(k, k->m, 64);
    kit_mark(block, 64, 4);
    hm_request vast = request_of(NULL, SIZE_MAX - 8);
    hm_request growing = request_of(block, SIZE_MAX - 8);
    growing.old_bytes = 64;
    expect_refused(k, &vast, HM_E_NOMEM, "SIZE_MAX - 8 bytes");
    vast.alignment = 4096;
    expect_refused(k, &vast, HM_E_NOMEM, "SIZE_MAX - 8 bytes at 4096");
    expect_refused(k, &growing, HM_E_NOMEM, "growing a block to SIZE_MAX - 8");
    KIT_EXPECT(k, kit_marked(block, 64, 4) == 64, "the old block untouched",
               "changed bytes");
    kit_free(k, k->m, block);
}

static const kit_clause clauses[] = {
    {"malloc.request.allocates", "a request allocates at its alignment", KIT_MUST,
     KIT_MALLOC, allocates},
    {"malloc.request.zeroed", "HM_REQUEST_ZEROED gives bytes of zero", KIT_MUST,
     KIT_MALLOC, zeroed},
    {"malloc.request.reallocates", "a request with a block reallocates it", KIT_MUST,
     KIT_MALLOC, reallocates},
    {"malloc.request.zeroes-what-is-new", "bytes beyond the old block read as zero",
     KIT_MUST, KIT_MALLOC, zeroes_what_is_new},
    {"malloc.request.bad-refused", "a bad request is HM_E_INVALID, *out NULL", KIT_MUST,
     KIT_MALLOC, bad_refused},
    {"malloc.request.huge-refused", "too large a request is HM_E_NOMEM, *out NULL",
     KIT_MUST, KIT_MALLOC, huge_refused},
};
const kit_group kit_requests = KIT_GROUP(clauses);

/* SPDX-License-Identifier: MIT */
/* What a host that keeps records says of blocks: describe and walk. */
#include "kit.h"

static void describe_or_pass_over(kit *k, const void *block, hm_block *seen)
{
    const hm_status status = hm_describe(k->m, block, seen);
    if (status == HM_E_UNSUPPORTED) {
        kit_pass_over(k, "keeps no records: describe answers HM_E_UNSUPPORTED");
    }
    KIT_EXPECT(k, status == HM_OK, "HM_OK for a live block", "%s",
               hm_status_name(status));
}

static void describes_blocks(kit *k)
{
    hm_block seen;
    static const size_t sizes[] = {1, 123, 5000};
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        void *block = kit_alloc(k, k->m, sizes[i]);
        describe_or_pass_over(k, block, &seen);
        KIT_EXPECT(k, seen.address == block, "the block's address", "another");
        KIT_EXPECT(k, seen.requested == sizes[i], "the bytes that were requested",
                   "%zu for %zu", seen.requested, sizes[i]);
        KIT_EXPECT(k, seen.usable == hm_size_of(k->m, block), "what size_of answers",
                   "%zu, not %zu", seen.usable, hm_size_of(k->m, block));
        KIT_EXPECT(k, seen.state == HM_BLOCK_LIVE, "HM_BLOCK_LIVE", "state %u",
                   (unsigned)seen.state);
        kit_free(k, k->m, block);
    }
}

static void follows_realloc(kit *k)
{
    hm_block seen;
    void *block = kit_alloc(k, k->m, 40);
    block = hm_realloc(k->m, block, 400);
    KIT_EXPECT(k, block, "a block from realloc", "NULL");
    describe_or_pass_over(k, block, &seen);
    KIT_EXPECT(k, seen.requested == 400, "the bytes that realloc was asked for",
               "%zu of 400", seen.requested);
    kit_free(k, k->m, block);
}

static void not_owned(kit *k)
{
    hm_block seen;
    int here = 0;
    char *block = kit_alloc(k, k->m, 64);
    describe_or_pass_over(k, block, &seen);
    const void *const foreign[] = {NULL, &here, block + 16, block + 1};
    for (size_t i = 0; i < KIT_COUNT(foreign); i++) {
        const hm_status status = hm_describe(k->m, foreign[i], &seen);
        KIT_EXPECT(k, status == HM_E_NOT_OWNED, "HM_E_NOT_OWNED for what is no block",
                   "%s", hm_status_name(status));
    }
    kit_free(k, k->m, block);
}

/* An older caller's struct is filled no further than it reaches, or refused. */
static void respects_the_struct(kit *k)
{
    struct {
        hm_block block;
        unsigned char beyond[24];
    } seen;
    static const size_t sizes[] = {offsetof(hm_block, usable), sizeof(hm_block),
                                   sizeof seen};
    void *block = kit_alloc(k, k->m, 10);
    hm_block whole;
    describe_or_pass_over(k, block, &whole);
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        const size_t reach = sizes[i] < sizeof(hm_block) ? sizes[i] : sizeof(hm_block);
        memset(&seen, 0x77, sizeof seen);
        seen.block.size = sizes[i];
        k->m->vtbl->describe(k->m, block, &seen.block);
        for (size_t b = reach; b < sizeof seen; b++) {
            KIT_EXPECT(k, ((unsigned char *)&seen)[b] == 0x77,
                       "a struct filled no further than its size",
                       "byte %zu written with size %zu", b, sizes[i]);
        }
    }
    kit_free(k, k->m, block);
}

static void names_the_site(kit *k)
{
    if (!kit_is_checked(k)) {
        kit_pass_over(k, "wants no sites: HM_MALLOC_DEBUG is not set");
    }
    char file[] = "kit-site.c";
    char text[64];
    hm_block seen;
    void *block = hm_debug_alloc(k->m, 64, HM_LEVEL_TASK, file, 42);
    KIT_EXPECT(k, block, "a block", "NULL");
    file[0] = '#';
    describe_or_pass_over(k, block, &seen);
    hm_site_text(seen.site, 0, text, sizeof text);
    KIT_EXPECT(k, strcmp(text, "kit-site.c:42") == 0, "the place that allocated", "%s",
               text);
    kit_free(k, k->m, block);
}

#define CENSUS_BLOCKS 40

typedef struct census {
    void *blocks[CENSUS_BLOCKS];
    unsigned seen[CENSUS_BLOCKS];
    size_t strangers, visits, stop_after, bytes;
} census;

static int visit(void *context, const hm_block *block)
{
    census *c = context;
    size_t i = 0;
    while (i < CENSUS_BLOCKS && c->blocks[i] != block->address) {
        i++;
    }
    if (i < CENSUS_BLOCKS) {
        c->seen[i]++;
        c->bytes += block->requested;
    } else {
        c->strangers++;
    }
    c->visits++;
    return c->visits == c->stop_after;
}

/* Every fourth block is freed again. */
static void census_begin(kit *k, census *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < CENSUS_BLOCKS; i++) {
        c->blocks[i] = kit_alloc(k, k->m, 10 + i);
    }
    for (size_t i = 0; i < CENSUS_BLOCKS; i += 4) {
        kit_free(k, k->m, c->blocks[i]);
        c->blocks[i] = c; /* no block's address */
    }
}

static void census_end(kit *k, census *c)
{
    for (size_t i = 0; i < CENSUS_BLOCKS; i++) {
        kit_free(k, k->m, i % 4 ? c->blocks[i] : NULL);
    }
}

static void walk(kit *k, census *c)
{
    const hm_status status = hm_walk(k->m, visit, c);
    if (status == HM_E_UNSUPPORTED) {
        KIT_EXPECT(k, c->visits == 0, "nothing visited with HM_E_UNSUPPORTED",
                   "%zu visits", c->visits);
        kit_pass_over(k, "keeps no records: walk answers HM_E_UNSUPPORTED");
    }
}

static void walks_every_block_once(kit *k)
{
    census c;
    census_begin(k, &c);
    walk(k, &c);
    for (size_t i = 0; i < CENSUS_BLOCKS; i++) {
        KIT_EXPECT(k, c.seen[i] == (i % 4 != 0), "every live block once",
                   "one of %zu bytes %u times", 10 + i, c.seen[i]);
    }
    KIT_EXPECT(k, c.strangers == 0, "live blocks only", "%zu others", c.strangers);
    census_end(k, &c);
}

static void walk_stops(kit *k)
{
    census c;
    census_begin(k, &c);
    c.stop_after = 5;
    walk(k, &c);
    KIT_EXPECT(k, c.visits == 5, "no visit after one that answered other than 0",
               "%zu visits, told to stop after 5", c.visits);
    census_end(k, &c);
}

static const kit_clause clauses[] = {
    {"malloc.describe.live-block", "a live block as it was asked for", KIT_MUST,
     KIT_MALLOC, describes_blocks},
    {"malloc.describe.after-realloc", "records follow realloc", KIT_MUST, KIT_MALLOC,
     follows_realloc},
    {"malloc.describe.not-owned", "HM_E_NOT_OWNED for what is no block", KIT_MUST,
     KIT_MALLOC, not_owned},
    {"malloc.describe.struct-size", "hosts fill no further than hm_block.size", KIT_MUST,
     KIT_MALLOC, respects_the_struct},
    {"malloc.describe.site", "objects that want sites name them", KIT_MUST, KIT_MALLOC,
     names_the_site},
    {"malloc.walk.every-block-once", "every live block, once", KIT_MUST, KIT_MALLOC,
     walks_every_block_once},
    {"malloc.walk.stops", "a visit that answers other than 0 ends the walk", KIT_MUST,
     KIT_MALLOC, walk_stops},
};
const kit_group kit_records = KIT_GROUP(clauses);

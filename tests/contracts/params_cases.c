/* SPDX-License-Identifier: MIT */
/* Cases 200 to 205: who owns parameters, proved by refusing every allocation, on task memory and on MAPI's. */
#include <string.h>

#include <hostmalloc/bridges/mapi.h>
#include <hostmalloc/bridges/ole.h>
#include <hostmalloc/bridges/params.h>
#include <hostmalloc/hostmalloc.h>

#include "contracts.h"

static const char *const worlds[] = {"fault+default", "fault+mimalloc", "fault+debug",
                                     "fault+debug+mimalloc"};
static hm_host *host;

#define P0 ((void *)(uintptr_t)0xdeadbeef)

static int enter(const char *world, const char **why)
{
    hm_error err;
    const hm_status status = hm_host_open(world, &host, &err);
    if (status == HM_E_NOT_FOUND) {
        *why = "this build has no such host";
        return 0;
    }
    CHECK_EQ(status, HM_OK);
    CHECK_EQ(hm_ole_set_host(host, NULL), HM_OK);
    CHECK_EQ(hm_mapi_set_host(host, NULL), HM_OK);
    /* The first call makes the mallocs, which the cases ask. */
    void *first = hm_ole_alloc(1);
    hm_ole_free(first);
    CHECK_EQ(hm_mapi_allocate(1, &first), S_OK);
    hm_mapi_free(first);
    return 1;
}

static void leave(void)
{
    CHECK_EQ(hm_ole_close(NULL, NULL), HM_OK);
    CHECK_EQ(hm_mapi_close(NULL, NULL), HM_OK);
    hm_host_release(host);
}

static void *task_alloc(void *context, size_t bytes)
{
    (void)context;
    return hm_ole_alloc(bytes);
}

static void task_free(void *context, void *block)
{
    (void)context;
    hm_ole_free(block);
}

static const hm_params_memory task = {
    sizeof(hm_params_memory), HM_PARAMS_COM, 0, NULL, task_alloc, task_free};

static void *mapi_alloc(void *context, size_t bytes)
{
    void *block;
    (void)context;
    return hm_mapi_allocate((ULONG)bytes, &block) == S_OK ? block : NULL;
}

static void mapi_free(void *context, void *block)
{
    (void)context;
    hm_mapi_free(block);
}

static const hm_params_memory mapi = {
    sizeof(hm_params_memory), HM_PARAMS_MAPI, 0, NULL, mapi_alloc, mapi_free};

/* What the functions below work on: the caller's variables. */
static struct {
    const hm_params_memory *memory;
    void *one;
    void *two;
} given;

#define PASSED 40 /* bytes of an in/out as the caller passes it */

static int pass_one(void *context)
{
    (void)context;
    given.one = given.memory->alloc(NULL, PASSED);
    if (given.one) {
        memset(given.one, 0x33, PASSED);
    }
    return given.one ? 0 : 1;
}

static void free_both(void *context)
{
    (void)context;
    void *const initial = given.memory->rules == HM_PARAMS_MAPI ? P0 : NULL;
    given.memory->release(NULL, given.one == initial ? NULL : given.one);
    given.memory->release(NULL, given.two == initial ? NULL : given.two);
    given.one = given.two = NULL;
}

/* An out, made with the help of a block of its own. */
static HRESULT answers(void *context)
{
    hm_params p;
    (void)context;
    hm_params_begin(&p, given.memory);
    hm_params_out(&p, &given.one);
    char *work = hm_params_alloc(&p, NULL, 200);
    char *text = work ? hm_params_alloc(&p, &given.one, 20) : NULL;
    if (text) {
        memset(work, 'w', 200);
        memcpy(text, work, 20);
    }
    return hm_params_end(&p, S_OK);
}

/* An in/out that is replaced, which takes two allocations. */
static HRESULT replaces(void *context)
{
    hm_params p;
    (void)context;
    hm_params_begin(&p, given.memory);
    hm_params_in_out(&p, &given.one);
    char *fresh = hm_params_alloc(&p, &given.one, 3 * PASSED);
    if (fresh) {
        memcpy(fresh, given.one, PASSED);
        fresh = hm_params_alloc(&p, NULL, 8) ? fresh : NULL;
    }
    return hm_params_end(&p, S_OK);
}

/* A structure with two members. */
static HRESULT fills(void *context)
{
    hm_params p;
    (void)context;
    hm_params_begin(&p, given.memory);
    hm_params_out(&p, &given.one);
    hm_params_out(&p, &given.two);
    if (hm_params_alloc(&p, &given.one, 16)) {
        hm_params_alloc(&p, &given.two, 32);
    }
    return hm_params_end(&p, S_OK);
}

/* Proves a function, and answers how many of its allocations were refused. */
static uint64_t prove(const hm_params_memory *memory,
                      HRESULT (*call)(void *context),
                      uint32_t direction,
                      size_t count)
{
    const int is_mapi = memory->rules == HM_PARAMS_MAPI;
    const hm_param params[] = {{"one", direction, 0, &given.one, P0, PASSED},
                               {"two", direction, 0, &given.two, P0, 0}};
    const hm_params_case one = {.size = sizeof one,
                                .rules = memory->rules,
                                .host = host,
                                .memory = is_mapi ? hm_mapi_malloc() : hm_ole_malloc(),
                                .prepare = direction == HM_PARAM_IN_OUT ? pass_one : NULL,
                                .call = call,
                                .clean = free_both,
                                .params = params,
                                .count = count};
    uint64_t refused = 0;
    hm_error err;
    given.memory = memory;
    given.two = is_mapi ? P0 : NULL;
    const hm_status status = hm_params_check(&one, &refused, &err);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    return refused;
}

static void com_out(const contract *self)
{
    (void)self;
    CHECK(prove(&task, answers, HM_PARAM_OUT, 1) >= 2);
}

static void com_in_out_failing(const contract *self)
{
    (void)self;
    CHECK(prove(&task, replaces, HM_PARAM_IN_OUT, 1) >= 2);
}

static int count_block(void *context, const hm_block *block)
{
    (void)block;
    ++*(size_t *)context;
    return 0;
}

static size_t blocks_of(hm_malloc *m)
{
    size_t live = 0;
    CHECK_EQ(hm_walk(m, count_block, &live), HM_OK);
    return live;
}

/* Replaced for good: the callee freed the former one, the caller frees the new one. */
static void replaced(const hm_params_memory *memory, hm_malloc *m)
{
    const size_t before = blocks_of(m);
    given.memory = memory;
    REQUIRE(pass_one(NULL) == 0);
    void *const passed = given.one;
    CHECK_EQ(replaces(NULL), S_OK);
    CHECK(given.one != NULL && given.one != passed);
    CHECK_EQ(((unsigned char *)given.one)[PASSED - 1], 0x33);
    CHECK_EQ(hm_owns(m, passed), 0);
    CHECK_EQ(blocks_of(m), before + 1);
    memory->release(NULL, given.one);
    CHECK_EQ(blocks_of(m), before);
}

static void com_in_out_replaced(const contract *self)
{
    (void)self;
    replaced(&task, hm_ole_malloc());
}

static void mapi_out(const contract *self)
{
    (void)self;
    CHECK(prove(&mapi, answers, HM_PARAM_OUT, 1) >= 2);
}

static void mapi_in_out_replaced(const contract *self)
{
    (void)self;
    replaced(&mapi, hm_mapi_malloc());
    CHECK(prove(&mapi, replaces, HM_PARAM_IN_OUT, 1) >= 2);
}

static void structure_out(const contract *self)
{
    (void)self;
    CHECK(prove(&task, fills, HM_PARAM_OUT, 2) >= 2);
}

int main(int argc, char **argv)
{
    static const contract cases[] = {
        {200, "D", "COM: an out is NULL when the call fails", com_out, 0},
        {201, "D", "COM: an in/out is as it was, or NULL", com_in_out_failing, 0},
        {202, "D", "COM: the callee frees what it replaces", com_in_out_replaced, 0},
        {203, "D", "MAPI: an out is as it was, or NULL", mapi_out, 0},
        {204, "D", "MAPI: the callee frees the root it replaces", mapi_in_out_replaced,
         0},
        {205, "D", "both members are NULL when the second fails", structure_out, 0},
    };
    static const contract *const tables[] = {cases};
    static const size_t counts[] = {COUNT(cases)};
    static const contracts_group group = {.name = "params",
                                          .tables = tables,
                                          .counts = counts,
                                          .table_count = COUNT(tables),
                                          .worlds = worlds,
                                          .world_count = COUNT(worlds),
                                          .enter = enter,
                                          .leave = leave};
    return contracts_main(argc, argv, &group);
}

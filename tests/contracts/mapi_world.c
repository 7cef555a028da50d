/* SPDX-License-Identifier: MIT */
/* MAPI's memory on each host in turn; among them one that offers the least a host may, so that the bridge keeps sizes
 * and owners by itself. */
#include "mapi_world.h"

#include <hostmalloc/hostmalloc.h>
#include <string.h>

static const char *const worlds[] = {"default", "mimalloc", "debug", "debug+mimalloc",
                                     "bare"};
static hm_host_vtbl bare_vtbl;
static hm_host *world_host;
static int initialized;

static hm_status bare_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_host *inner = ((hm_layer_host *)self)->inner;
    if (opts && opts->flags) {
        *out = NULL;
        return hm_error_set(err, HM_E_UNSUPPORTED, "host:bare", "no flags are offered");
    }
    return inner->vtbl->create_malloc(inner, opts, out, err);
}

static hm_status bare_open(hm_host **out, hm_error *err)
{
    const hm_core *core = hm_core_table();
    hm_host *inner;
    const hm_status status = hm_host_open("default", &inner, err);
    if (status != HM_OK) {
        return status;
    }
    hm_layer_host *layer = core->memory_alloc(sizeof *layer);
    if (!layer) {
        hm_host_release(inner);
        return HM_E_NOMEM;
    }
    bare_vtbl = *core->host_forward;
    bare_vtbl.create_malloc = bare_create_malloc;
    hm_layer_host_init(layer, &bare_vtbl, inner, sizeof *layer);
    hm_host_release(inner);
    *out = &layer->base;
    return HM_OK;
}

static int enter(const char *world, const char **why)
{
    hm_error err;
    hm_status status = strcmp(world, "bare") == 0
                           ? bare_open(&world_host, &err)
                           : hm_host_open(world, &world_host, &err);
    if (status == HM_E_NOT_FOUND) {
        *why = "this build has no such host";
        return 0;
    }
    if (status == HM_OK) {
        status = hm_mapi_set_host(world_host, &err);
    }
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    return 1;
}

static void leave(void)
{
    hm_error err;
    hm_leaks leaks = {.size = sizeof(hm_leaks)};
    if (initialized) {
        MAPIUninitialize();
        initialized = 0;
    }
    const hm_status status = hm_mapi_close(&leaks, &err);
    CHECK_EQ(leaks.blocks, 0);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    hm_host_release(world_host);
    world_host = NULL;
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    (*(size_t *)context)++;
    return 0;
}

size_t mapi_live(void)
{
    hm_malloc *m = hm_mapi_malloc();
    size_t live = 0;
    if (m) {
        CHECK_EQ(hm_walk(m, count_one, &live), HM_OK);
    }
    return live;
}

SIZE_T mapi_heap_size(void *block)
{
    hm_block seen;
    CHECK_EQ(hm_describe(hm_mapi_malloc(), block, &seen), HM_OK);
    return seen.requested;
}

void mapi_budget(size_t bytes)
{
    hm_malloc_opts opts = {.size = sizeof(opts),
                           .name = "budget",
                           .flags = HM_MALLOC_THREADSAFE,
                           .limit = bytes};
    hm_malloc *m = NULL;
    hm_status status = hm_host_create_malloc_opts(world_host, &opts, &m, NULL);
    if (status == HM_E_UNSUPPORTED) {
        opts.flags = 0;
        status = hm_host_create_malloc_opts(world_host, &opts, &m, NULL);
    }
    REQUIRE(status == HM_OK);
    CHECK_EQ(hm_mapi_set_malloc(m, NULL), HM_OK);
    hm_malloc_release(m);
}

HRESULT
mapi_routines(LPALLOCATEBUFFER *allocate, LPALLOCATEMORE *more, LPFREEBUFFER *release)
{
    CHECK_EQ(hm_mapi_routines(allocate, more, release), MAPI_E_NOT_INITIALIZED);
    CHECK(!*allocate && !*more && !*release);
    CHECK_EQ(MAPIInitialize(NULL), S_OK);
    initialized = 1;
    return hm_mapi_routines(allocate, more, release);
}

SCODE mapi_reallocate(LPVOID buffer, ULONG bytes, LPVOID *out)
{
    return hm_mapi_reallocate(buffer, bytes, out);
}

int main(int argc, char **argv)
{
    return mapi_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}

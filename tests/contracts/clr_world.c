/* SPDX-License-Identifier: MIT */
/* Each host in turn as a runtime sees it; among them one that offers the least a host may, and one that was a
 * foreign memory manager before, so that every case also runs through the way back. */
#include "clr_world.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>
#include <string.h>

static const char *const worlds[] = {
    "default", "mimalloc", "debug", "debug+mimalloc", "bare", "foreign", "foreign debug"};

static hm_host *world_host;
static IHostControl *world_control;
static IHostMemoryManager *world_manager;

typedef struct narrow_host {
    hm_layer_host layer;
    hm_host_vtbl table;
    size_t budget;
    int bare;
} narrow_host;

static hm_status narrow_create_malloc(hm_host *self,
                                      const hm_malloc_opts *opts,
                                      hm_malloc **out,
                                      hm_error *err)
{
    const narrow_host *narrow = (const narrow_host *)self;
    hm_host *inner = narrow->layer.inner;
    hm_malloc_opts copy = {.size = sizeof copy};
    if (opts) {
        copy = *opts;
    }
    if (narrow->bare && copy.flags) {
        *out = NULL;
        return hm_error_set(err, HM_E_UNSUPPORTED, "host:bare", "no flags are offered");
    }
    copy.limit = narrow->budget ? narrow->budget : copy.limit;
    return inner->vtbl->create_malloc(inner, &copy, out, err);
}

/* Takes over the reference to inner. */
static hm_host *narrow_over(hm_host *inner, int bare, size_t budget)
{
    const hm_core *core = hm_core_table();
    narrow_host *made = core->memory_alloc(sizeof *made);
    REQUIRE(made != NULL);
    made->table = *core->host_forward;
    made->table.create_malloc = narrow_create_malloc;
    made->bare = bare;
    made->budget = budget;
    hm_layer_host_init(&made->layer, &made->table, inner, sizeof *made);
    hm_host_release(inner);
    return &made->layer.base;
}

IHostControl *clr_present(hm_host *host)
{
    IHostControl *control;
    hm_error err;
    const hm_status status = hm_clr_control_create(host, &control, &err);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    REQUIRE(status == HM_OK);
    return control;
}

static IHostMemoryManager *manager_of(IHostControl *control)
{
    void *object = NULL;
    CHECK_EQ(control->lpVtbl->GetHostManager(control, &hm_clr_iid_host_memory_manager,
                                             &object),
             S_OK);
    REQUIRE(object != NULL);
    return object;
}

/* Presented, and taken for a stranger's. */
static hm_host *there_and_back(hm_host *host)
{
    hm_host *back = NULL;
    IHostControl *control = clr_present(host);
    IHostMemoryManager *manager = manager_of(control);
    CHECK_EQ(hm_clr_host_create(manager, "back", &back, NULL), HM_OK);
    IHostMemoryManager_Release(manager);
    IHostControl_Release(control);
    hm_host_release(host);
    REQUIRE(back != NULL);
    return back;
}

static int enter(const char *world, const char **why)
{
    hm_error err;
    const int bare = strcmp(world, "bare") == 0;
    const int foreign = strncmp(world, "foreign", 7) == 0;
    const char *spec = bare || strcmp(world, "foreign") == 0 ? "default"
                       : foreign                             ? "debug"
                                                             : world;
    const hm_status status = hm_host_open(spec, &world_host, &err);
    if (status == HM_E_NOT_FOUND) {
        *why = "this build has no such host";
        return 0;
    }
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    REQUIRE(status == HM_OK);
    if (bare) {
        world_host = narrow_over(world_host, 1, 0);
    } else if (foreign) {
        world_host = there_and_back(world_host);
    }
    world_control = clr_present(world_host);
    world_manager = manager_of(world_control);
    return 1;
}

/* A case gives back what it took, so these are the last references. */
static void leave(void)
{
    CHECK_EQ(IHostMemoryManager_Release(world_manager), 1);
    CHECK_EQ(IHostControl_Release(world_control), 0);
    hm_host_release(world_host);
}

hm_host *clr_world_host(void)
{
    return world_host;
}

IHostControl *clr_world_control(void)
{
    return world_control;
}

IHostMemoryManager *clr_world_manager(void)
{
    return world_manager;
}

int clr_world_checks(void)
{
    return hm_debug_of_host(world_host) != NULL;
}

IHostMalloc *clr_world_malloc(DWORD type)
{
    IHostMalloc *m = NULL;
    CHECK_EQ(IHostMemoryManager_CreateMalloc(world_manager, type, &m), S_OK);
    REQUIRE(m != NULL);
    return m;
}

hm_host *clr_world_with_budget(size_t bytes)
{
    hm_host_retain(world_host);
    return narrow_over(world_host, 0, bytes);
}

int main(int argc, char **argv)
{
    return clr_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}

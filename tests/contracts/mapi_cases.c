/* SPDX-License-Identifier: MIT */
/* The group of MAPI's memory: its tables, whatever world they run in. */
#include "mapi_world.h"

void *mapi_root(ULONG bytes)
{
    void *root = NULL;
    CHECK_EQ(MAPIAllocateBuffer(bytes, &root), S_OK);
    REQUIRE(root != NULL);
    return root;
}

void *mapi_more(ULONG bytes, void *root)
{
    void *more = NULL;
    CHECK_EQ(MAPIAllocateMore(bytes, root, &more), S_OK);
    REQUIRE(more != NULL);
    return more;
}

int mapi_cases_run(int argc,
                   char **argv,
                   const char *const *worlds,
                   size_t world_count,
                   int (*enter)(const char *world, const char **why),
                   void (*leave)(void))
{
    static const contract *const tables[] = {mapi_malloc_cases, mapi_property_cases,
                                             mapi_buffer_cases, mapi_row_cases};
    static const size_t counts[] = {COUNT(mapi_malloc_cases), COUNT(mapi_property_cases),
                                    COUNT(mapi_buffer_cases), COUNT(mapi_row_cases)};
    const contracts_group group = {.name = "mapi",
                                   .tables = tables,
                                   .counts = counts,
                                   .table_count = COUNT(tables),
                                   .worlds = worlds,
                                   .world_count = world_count,
                                   .enter = enter,
                                   .leave = leave};
    return contracts_main(argc, argv, &group);
}

/* SPDX-License-Identifier: MIT */
/* The cases of CLR hosting, together. */
#include "clr_world.h"

int clr_cases_run(int argc,
                  char **argv,
                  const char *const *worlds,
                  size_t world_count,
                  int (*enter)(const char *world, const char **why),
                  void (*leave)(void))
{
    static const contract *const tables[] = {clr_wiring_cases, clr_malloc_cases,
                                             clr_page_cases, clr_load_cases};
    static const size_t counts[] = {COUNT(clr_wiring_cases), COUNT(clr_malloc_cases),
                                    COUNT(clr_page_cases), COUNT(clr_load_cases)};
    const contracts_group group = {.name = "clr",
                                   .tables = tables,
                                   .counts = counts,
                                   .table_count = COUNT(tables),
                                   .worlds = worlds,
                                   .world_count = world_count,
                                   .enter = enter,
                                   .leave = leave};
    return contracts_main(argc, argv, &group);
}

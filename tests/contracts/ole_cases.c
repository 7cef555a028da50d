/* SPDX-License-Identifier: MIT */
/* The group of task memory: its tables, whatever world they run in. */
#include "ole_world.h"

int ole_cases_run(int argc,
                  char **argv,
                  const char *const *worlds,
                  size_t world_count,
                  int (*enter)(const char *world, const char **why),
                  void (*leave)(void))
{
    static const contract *const tables[] = {ole_malloc_cases, ole_register_cases,
                                             ole_pair_cases, ole_duty_cases,
                                             ole_revoke_cases};
    static const size_t counts[] = {COUNT(ole_malloc_cases), COUNT(ole_register_cases),
                                    COUNT(ole_pair_cases), COUNT(ole_duty_cases),
                                    COUNT(ole_revoke_cases)};
    const contracts_group group = {.name = "ole",
                                   .tables = tables,
                                   .counts = counts,
                                   .table_count = COUNT(tables),
                                   .worlds = worlds,
                                   .world_count = world_count,
                                   .enter = enter,
                                   .leave = leave};
    return contracts_main(argc, argv, &group);
}

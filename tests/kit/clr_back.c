/* SPDX-License-Identifier: MIT */
/* The conformance kit over a host that went through both directions of the CLR bridge: "clr_back" is a layer that
 * presents what is below as a memory manager, and takes that for a stranger's.
 *
 *     kit_clr_back SPEC */
#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/hostmalloc.h>

#include "kit/kit.h"

static hm_status
back_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    IHostControl *control;
    void *object = NULL;
    (void)values;
    hm_status status = hm_clr_control_create(inner, &control, err);
    if (status != HM_OK) {
        return status;
    }
    control->lpVtbl->GetHostManager(control, &IID_IHostMemoryManager, &object);
    control->lpVtbl->Release(control);
    IHostMemoryManager *manager = object;
    status = hm_clr_host_create(manager, "clr_back", out, err);
    manager->lpVtbl->Release(manager);
    return status;
}

static const hm_host_info info = {.size = sizeof(info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_LAYER,
                                  .name = "clr_back",
                                  .summary = "through the CLR bridge and back",
                                  .version = "1",
                                  .open = back_open};

int main(int argc, char **argv)
{
    if (argc != 2 || hm_registry_add(&info, NULL) != HM_OK) {
        fprintf(stderr, "usage: kit_clr_back SPEC\n");
        return 2;
    }
    const kit_subject subject = {.spec = argv[1]};
    kit_report report = {.subject = argv[1]};
    for (size_t g = 0; kit_groups[g]; g++) {
        for (size_t i = 0; i < kit_groups[g]->count; i++) {
            const kit_clause *clause = &kit_groups[g]->clauses[i];
            kit_result result;
            /* COM's tables let nobody look through them, as layers do. */
            if (clause->scope != KIT_MODULE && strncmp(clause->name, "layer.", 6) != 0) {
                kit_run(&subject, clause, 10000, &result);
                kit_report_result(&report, &result);
            }
        }
    }
    kit_report_summary(&report);
    return report.failed != 0;
}

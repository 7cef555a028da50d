/* SPDX-License-Identifier: MIT */
/* A module as it should be: one host, one option of each type. */
#include "toy_host.h"

#define OPTION(NAME, TYPE, FALLBACK, HELP, CHOICES)                              \
    static const hm_option option_##NAME = {sizeof(hm_option), #NAME, TYPE,   0, \
                                            FALLBACK,          HELP,  CHOICES}
OPTION(size, HM_OPTION_BYTES, "64K", "bytes to begin with", NULL);
OPTION(count, HM_OPTION_NUMBER, NULL, "how many", NULL);
OPTION(quiet, HM_OPTION_BOOL, "no", "say nothing", NULL);
OPTION(file, HM_OPTION_TEXT, NULL, "where to write", NULL);
OPTION(mode, HM_OPTION_CHOICE, "fast", "how to go about it", "fast|slow");
OPTION(rate, HM_OPTION_RATIO, "1/100", "how often", NULL);
OPTION(next, HM_OPTION_SPEC, "default", "who is asked next", NULL);
static const hm_option *const options[] = {&option_size, &option_count, &option_quiet,
                                           &option_file, &option_mode,  &option_rate,
                                           &option_next};

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "good",
                                  .summary = "A module as it should be",
                                  .version = "1.2.3",
                                  .options = options,
                                  .option_count = sizeof options / sizeof options[0],
                                  .open = toy_open};

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&info};
    toy_begin(core);
    *list = all;
    *count = 1;
    return HM_OK;
}

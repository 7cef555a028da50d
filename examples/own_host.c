/* SPDX-License-Identifier: MIT */
/* A host of your own, as a module: two functions, a description with an option, and one exported function. Put your
 * allocator where this has libc's; name it, and the file hm_host_NAME.so, as you like. It needs the installed headers
 * and links nothing of hostmalloc. A program can do without the module: hm_registry_add(&info, &err).
 *
 *     cc -shared -fPIC own_host.c -o hm_host_own_host.so
 *     hostmalloc check ./hm_host_own_host.so */
#include <stdlib.h>
#include <string.h>

#include <hostmalloc/module.h>

static const hm_core *core;

/* The allocator: libc's, and what is freed is overwritten, so that late uses show. */
static unsigned char poison;

static void *own_alloc(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void own_release(void *context, void *block, size_t bytes)
{
    memset(block, *(unsigned char *)context, bytes);
    free(block);
}

/* What users write after "own_host:", and how one is made. The core adds a header to each block, and with it sizes,
   alignment, ownership, zeroing, scopes, limits, walking and statistics. */
static hm_status
own_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    static const hm_allocator allocator = {.size = sizeof(allocator),
                                           .context = &poison,
                                           .alloc = own_alloc,
                                           .release = own_release,
                                           .flags = HM_ALLOCATOR_THREADSAFE};
    const uint64_t byte = core->option_number(values, "poison");
    (void)inner; /* a layer's */
    *out = NULL;
    if (byte > 255) {
        return core->error_set(err, HM_E_INVALID, "host:own_host",
                               "poison is %llu, expected 0 to 255",
                               (unsigned long long)byte);
    }
    poison = (unsigned char)byte;
    return core->wrap_host(&allocator, "own_host", out, err);
}

static const hm_option poison_option = {.size = sizeof(hm_option),
                                        .name = "poison",
                                        .type = HM_OPTION_NUMBER,
                                        .fallback = "165",
                                        .help =
                                            "the byte that freed blocks are filled with"};
static const hm_option *const options[] = {&poison_option};

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "own_host",
                                  .summary = "blocks from libc, overwritten when freed",
                                  .version = "1",
                                  .options = options,
                                  .option_count = 1,
                                  .open = own_open};
static const hm_host_info *const infos[] = {&info};

/* Says who it is, and no more. */
HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    core = from;
    *list = infos;
    *count = 1;
    return HM_OK;
}

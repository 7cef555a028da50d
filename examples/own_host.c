/* SPDX-License-Identifier: MIT */
/* A host of your own: two functions over one array, a description with an option, and it stands in a spec beside
 * the hosts that ship. Put into a shared library that exports hm_module_describe, the same code is a module. */
#include <stdio.h>

#include <hostmalloc/hostmalloc.h>

/* The allocator: takes from the front of an array and gives nothing back. */
static union {
    long double align;
    char bytes[64 * 1024];
} array;
static size_t array_used;
static size_t array_size;

static void *array_alloc(void *context, size_t bytes)
{
    const size_t align = sizeof(long double);
    void *block = NULL;
    (void)context;
    if (bytes <= array_size - array_used) {
        block = array.bytes + array_used;
        array_used += (bytes + align - 1) / align * align;
        array_used = array_used < array_size ? array_used : array_size;
    }
    return block;
}

static void array_release(void *context, void *block, size_t bytes)
{
    (void)context, (void)block, (void)bytes;
}

/* The description: what users write after "array:", and how one is made. The core adds a header, and with it
   sizes, alignment, ownership, scopes and limits. */
static hm_status
array_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    static const hm_allocator allocator = {
        .size = sizeof(allocator), .alloc = array_alloc, .release = array_release};
    const hm_core *const core = hm_core_table();
    (void)inner;
    array_size = (size_t)core->option_number(values, "size");
    if (array_size > sizeof(array)) {
        return core->error_set(err, HM_E_INVALID, "host:array",
                               "size %zu, expected at most %zu", array_size,
                               sizeof(array));
    }
    return core->wrap_host(&allocator, "array", out, err);
}

static const hm_option array_size_option = {.size = sizeof(hm_option),
                                            .name = "size",
                                            .type = HM_OPTION_BYTES,
                                            .fallback = "64K",
                                            .help = "bytes of the array to use"};
static const hm_option *const array_options[] = {&array_size_option};
static const hm_host_info array_info = {.size = sizeof(hm_host_info),
                                        .abi = HM_ABI,
                                        .kind = HM_KIND_HOST,
                                        .name = "array",
                                        .summary = "blocks from one array",
                                        .version = "1",
                                        .options = array_options,
                                        .option_count = 1,
                                        .open = array_open};

static int fill(const char *spec)
{
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    hm_error err;
    int blocks = 0;
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "filler", HM_MALLOC_SCOPED, &m, &err) != HM_OK) {
        hm_error_print(&err);
        hm_host_release(host);
        return 1;
    }
    while (hm_alloc(m, 1000)) {
        blocks++;
    }
    printf("%s: full after %d blocks\n", spec, blocks);
    hm_malloc_release(m); /* scoped: its blocks go with it */
    hm_host_release(host);
    return 0;
}

int main(void)
{
    hm_error err;
    if (hm_registry_add(&array_info, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    return fill("array:size=16K");
}

/* $ own_host
 * array:size=16K: full after 15 blocks
 */

/* SPDX-License-Identifier: MIT */
/* A module by itself: what hm_module_describe answers, and that it does nothing else. The clauses ask it directly,
 * before the registry has seen it. */
#include "kit.h"

#include <dlfcn.h>

typedef struct answer {
    const hm_host_info *const *list;
    size_t count;
} answer;

static hm_module_describe_fn *describe_of(kit *k)
{
    hm_module_describe_fn *describe = NULL;
    char path[4096];
    const char *module = k->subject->module;
    snprintf(path, sizeof path, "%s%s", strchr(module, '/') ? "" : "./", module);
    void *opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    KIT_EXPECT(k, opened, "a library that the system's loader opens", "%s", dlerror());
    void *symbol = dlsym(opened, "hm_module_describe");
    KIT_EXPECT(k, symbol, "the symbol hm_module_describe", "none");
    memcpy(&describe, &symbol, sizeof describe);
    return describe;
}

static answer ask(kit *k, hm_module_describe_fn *describe)
{
    answer a = {NULL, 0};
    const hm_status status = describe(hm_core_table(), &a.list, &a.count);
    KIT_EXPECT(k, status == HM_OK, "HM_OK from hm_module_describe", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, a.list && a.count > 0 && a.count <= KIT_NAMES_MAX,
               "1 to 64 descriptions", "%zu", a.count);
    for (size_t i = 0; i < a.count; i++) {
        KIT_EXPECT(k, a.list[i], "descriptions", "NULL for one of %zu", a.count);
    }
    return a;
}

static void accepted(kit *k)
{
    hm_error err;
    const hm_status status = hm_registry_load(k->subject->module, &err);
    KIT_EXPECT(k, status == HM_OK, "a module that the registry accepts", "%s (%s)",
               err.what, hm_status_name(status));
}

static void same_twice(kit *k)
{
    hm_module_describe_fn *describe = describe_of(k);
    const answer first = ask(k, describe);
    const hm_host_info *infos[KIT_NAMES_MAX];
    memcpy(infos, first.list, first.count * sizeof infos[0]);
    const answer second = ask(k, describe);
    KIT_EXPECT(k, first.count == second.count, "the same answer twice",
               "%zu descriptions, then %zu", first.count, second.count);
    for (size_t i = 0; i < first.count; i++) {
        KIT_EXPECT(k, infos[i] == second.list[i], "the same static descriptions twice",
                   "number %zu at another address", i + 1);
    }
}

/* Asked again and again: what a first call sets up once may be the loader's doing. */
static void starts_no_threads(kit *k)
{
    hm_module_describe_fn *describe = describe_of(k);
    const size_t before = kit_thread_count();
    ask(k, describe);
    const size_t after = kit_thread_count();
    KIT_EXPECT(k, after == before, "no threads from hm_module_describe",
               "%zu, %zu before", after, before);
}

static void allocates_nothing(kit *k)
{
    hm_module_describe_fn *describe = describe_of(k);
    const size_t before = kit_malloc_bytes();
    ask(k, describe);
    const size_t after = kit_malloc_bytes();
    KIT_EXPECT(k, after == before, "no allocation by hm_module_describe", "%zu bytes",
               after - before);
}

static void writes_nothing(kit *k)
{
    hm_module_describe_fn *describe = describe_of(k);
    const int before = kit_capture_begin();
    if (before < 0) {
        kit_pass_over(k, "output cannot be captured here");
    }
    ask(k, describe);
    const size_t written = kit_capture_end(before);
    KIT_EXPECT(k, written == 0, "no output from hm_module_describe", "%zu bytes",
               written);
}

static void abi_major(kit *k)
{
    const answer a = ask(k, describe_of(k));
    for (size_t i = 0; i < a.count; i++) {
        KIT_EXPECT(k, a.list[i]->size >= offsetof(hm_host_info, kind),
                   "descriptions that hold their ABI", "one of %zu bytes",
                   a.list[i]->size);
        KIT_EXPECT(k, a.list[i]->abi >> 16 == hm_abi() >> 16,
                   "the major ABI number of the library",
                   "%u.%u where the library has %u.%u", (unsigned)(a.list[i]->abi >> 16),
                   (unsigned)(a.list[i]->abi & 0xffff), (unsigned)(hm_abi() >> 16),
                   (unsigned)(hm_abi() & 0xffff));
        KIT_EXPECT(k, HM_HAS(a.list[i], hm_host_info, open), "whole descriptions",
                   "one of %zu bytes", a.list[i]->size);
    }
}

static int is_name(const char *name)
{
    const size_t length = name ? strlen(name) : 0;
    return length > 0 && length < KIT_NAME_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static int is_line(const char *text)
{
    return text && text[0] && !strchr(text, '\n');
}

static void names_valid(kit *k)
{
    const answer a = ask(k, describe_of(k));
    for (size_t i = 0; i < a.count; i++) {
        const hm_host_info *info = a.list[i];
        KIT_EXPECT(k, is_name(info->name), "a name of lower case letters, digits and '_'",
                   "\"%s\"", info->name ? info->name : "(NULL)");
        for (size_t j = 0; j < i; j++) {
            KIT_EXPECT(k, strcmp(info->name, a.list[j]->name) != 0, "names that differ",
                       "\"%s\" twice", info->name);
        }
        for (size_t j = 0; info->options && j < info->option_count; j++) {
            KIT_EXPECT(k, is_name(info->options[j]->name), "names of options like names",
                       "\"%s\" of %s", info->options[j]->name, info->name);
        }
    }
}

static void texts_there(kit *k)
{
    const answer a = ask(k, describe_of(k));
    for (size_t i = 0; i < a.count; i++) {
        const hm_host_info *info = a.list[i];
        KIT_EXPECT(k, is_line(info->summary), "a summary of one line", "none for %s",
                   info->name);
        KIT_EXPECT(k, is_line(info->version), "a version", "none for %s", info->name);
        for (size_t j = 0; info->options && j < info->option_count; j++) {
            KIT_EXPECT(k, is_line(info->options[j]->help), "help of one line",
                       "none for option %s of %s", info->options[j]->name, info->name);
        }
    }
}

static void refuses_nothing_by_default(kit *k)
{
    const answer a = ask(k, describe_of(k));
    hm_error err;
    if (hm_registry_load(k->subject->module, NULL) != HM_OK) {
        kit_pass_over(k, "the registry does not accept the module");
    }
    for (size_t i = 0; i < a.count; i++) {
        hm_host *host = NULL;
        const hm_status status = hm_host_open(a.list[i]->name, &host, &err);
        KIT_EXPECT(
            k, status == HM_OK,
            "every host and layer to open without options; others are checked by a spec",
            "%s: %s", a.list[i]->name, err.what);
        hm_host_release(host);
    }
}

static const kit_clause clauses[] = {
    {"module.load.accepted", "the registry accepts the module", KIT_MUST, KIT_MODULE,
     accepted},
    {"module.describe.same-twice", "hm_module_describe answers static descriptions",
     KIT_MUST, KIT_MODULE, same_twice},
    {"module.describe.no-threads", "hm_module_describe starts no threads", KIT_MUST,
     KIT_MODULE, starts_no_threads},
    {"module.describe.no-allocation", "hm_module_describe does not allocate", KIT_MUST,
     KIT_MODULE, allocates_nothing},
    {"module.describe.no-output", "hm_module_describe writes nothing", KIT_MUST,
     KIT_MODULE, writes_nothing},
    {"module.describe.abi", "the major ABI number is the library's", KIT_MUST, KIT_MODULE,
     abi_major},
    {"module.describe.names-valid", "names are lower case letters, digits and '_'",
     KIT_MUST, KIT_MODULE, names_valid},
    {"module.describe.texts", "summary, version and help are there, one line each",
     KIT_MUST, KIT_MODULE, texts_there},
    {"module.open.defaults", "opens with no options at all", KIT_SHOULD, KIT_MODULE,
     refuses_nothing_by_default},
};
const kit_group kit_module = KIT_GROUP(clauses);

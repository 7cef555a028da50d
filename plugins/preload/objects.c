/* SPDX-License-Identifier: MIT */
/* Loaded objects and what they define, read from their own tables: dlsym() allocates, takes the loader's lock and changes
 * what dlerror() says to the program. */
#include "objects_internal.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

static char program[4096] = "program";

void hm__objects_start(void)
{
    char path[sizeof program];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0) {
        memcpy(program, path, (size_t)length);
        program[length] = '\0';
    }
}

static const char *path_of(const char *name)
{
    return name && name[0] ? name : program;
}

static int changes(struct dl_phdr_info *info, size_t size, void *context)
{
    uint64_t *counts = context;
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        counts[0] = info->dlpi_adds;
        counts[1] = info->dlpi_subs;
    }
    return 1;
}

void hm__objects_changes(uint64_t *added, uint64_t *removed)
{
    uint64_t counts[2] = {0, 0};
    dl_iterate_phdr(changes, counts);
    *added = counts[0];
    *removed = counts[1];
}

typedef struct visiting {
    int (*visit)(void *context, const hm__object *object);
    void *context;
} visiting;

static int visit_one(struct dl_phdr_info *info, size_t size, void *context)
{
    const visiting *v = context;
    hm__object object = {path_of(info->dlpi_name), info->dlpi_addr, NULL,
                         info->dlpi_phnum, info->dlpi_phdr};
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            object.tables = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        }
    }
    return object.tables ? v->visit(v->context, &object) : 0;
}

void hm__objects_visit(int (*visit)(void *context, const hm__object *object),
                       void *context)
{
    visiting v = {visit, context};
    dl_iterate_phdr(visit_one, &v);
}

/* The loader has replaced offsets in these tables by addresses in some objects (not in the kernel's). */
static const void *table(const hm__object *object, const ElfW(Dyn) * entry)
{
    const uintptr_t at = entry->d_un.d_ptr;
    return (const void *)(at < object->base ? at + object->base : at);
}

typedef struct tables {
    const ElfW(Sym) * symbols;
    const char *names;
    const uint32_t *hashes; /* DT_GNU_HASH */
    const uint16_t *versions;
} tables;

static void tables_find(const hm__object *object, tables *t)
{
    memset(t, 0, sizeof *t);
    for (const ElfW(Dyn) *entry = object->tables; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            t->symbols = table(object, entry);
            break;
        case DT_STRTAB:
            t->names = table(object, entry);
            break;
        case DT_GNU_HASH:
            t->hashes = table(object, entry);
            break;
        case DT_VERSYM:
            t->versions = table(object, entry);
            break;
        default:
            break;
        }
    }
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

#define VERSION_HIDDEN 0x8000u

static int is_it(const tables *t, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &t->symbols[index];
    const unsigned type = symbol->st_info & 15;
    return symbol->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_OBJECT) &&
           (!t->versions || !(t->versions[index] & VERSION_HIDDEN)) &&
           strcmp(t->names + symbol->st_name, name) == 0;
}

/* A filter of bits, then the first symbol of each bucket, then hashes in order of symbols; the last of a bucket is odd. */
void *hm__object_symbol(const hm__object *object, const char *name)
{
    tables t;
    tables_find(object, &t);
    if (!t.hashes || !t.symbols || !t.names || !t.hashes[0]) {
        return NULL;
    }
    const uint32_t hash = hash_of(name);
    const uint32_t bucket_count = t.hashes[0], first = t.hashes[1], words = t.hashes[2];
    const ElfW(Addr) *filter = (const ElfW(Addr) *)(const void *)&t.hashes[4];
    const uint32_t *buckets = (const uint32_t *)(const void *)&filter[words];
    const uint32_t *chain = &buckets[bucket_count];
    uint32_t index = buckets[hash % bucket_count];
    if (index < first) {
        return NULL;
    }
    for (;; index++) {
        const uint32_t here = chain[index - first];
        if ((here | 1) == (hash | 1) && is_it(&t, index, name)) {
            return (void *)(object->base + t.symbols[index].st_value);
        }
        if (here & 1) {
            return NULL;
        }
    }
}

int hm__object_of(uintptr_t address, const char **path, uintptr_t *base)
{
#if __GLIBC_PREREQ(2, 35)
    struct dl_find_object found;
    if (_dl_find_object((void *)address, &found) != 0) {
        return 0;
    }
    *path = path_of(found.dlfo_link_map->l_name);
    *base = found.dlfo_link_map->l_addr;
    return 1;
#else
    Dl_info found;
    struct link_map *map = NULL;
    if (!dladdr1((void *)address, &found, (void **)&map, RTLD_DL_LINKMAP) || !map) {
        return 0;
    }
    *path = path_of(map->l_name);
    *base = map->l_addr;
    return 1;
#endif
}

/* SPDX-License-Identifier: MIT */
/* The bridge under a real libxml2: the hook is live, all of it comes back, every allocation may fail, and results are the
 * same. */
#include "hooked.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

#include <hostmalloc/bridges/libxml2.h>

/* The bridge has these types without their header. */
static int (*const set_functions)(void (*)(void *),
                                  void *(*)(size_t),
                                  void *(*)(size_t),
                                  void *(*)(void *, size_t),
                                  char *(*)(const char *)) = xmlGcMemSetup;

static hm_malloc *memory;
static uint64_t stock;    /* the workload's digest without the bridge */
static uint64_t late;     /* what installing late answered */
static uint64_t occupied; /* what installing over somebody else's functions answered */

static void be_silent(void *context, const char *text, ...)
{
    (void)context;
    (void)text;
}

/* A catalogue of @p items; NULL when there is no memory for it. */
static xmlDocPtr make_document(int items)
{
    xmlDocPtr made = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = made ? xmlNewNode(NULL, BAD_CAST "catalogue") : NULL;
    if (!root) {
        xmlFreeDoc(made);
        return NULL;
    }
    xmlDocSetRootElement(made, root);
    for (int i = 0; i < items; i++) {
        char text[64];
        xmlNodePtr item = xmlNewChild(root, NULL, BAD_CAST "item", NULL);
        snprintf(text, sizeof(text), "%d", i * 7919 % items);
        if (item && xmlNewProp(item, BAD_CAST "id", BAD_CAST text)) {
            snprintf(text, sizeof(text), "name &amp; number %d", i);
            xmlNewChild(item, NULL, BAD_CAST "name", BAD_CAST text);
        }
    }
    return made;
}

/* Written, read again, searched, written again. */
static uint64_t round_trip(int items)
{
    uint64_t digest = HOOKED_DIGEST;
    xmlChar *text = NULL;
    int size = 0;
    xmlDocPtr made = make_document(items);
    if (made) {
        xmlDocDumpFormatMemory(made, &text, &size, 1);
    }
    xmlDocPtr read = text ? xmlReadMemory((const char *)text, size, "made.xml", NULL,
                                          XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
                          : NULL;
    xmlFree(text);
    xmlXPathContextPtr context = read ? xmlXPathNewContext(read) : NULL;
    xmlXPathObjectPtr found =
        context ? xmlXPathEvalExpression(
                      BAD_CAST "//item[@id mod 97 = 5]/name[contains(., '1')]", context)
                : NULL;
    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlChar *const content = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        if (content) {
            digest = hooked_digest(digest, content, strlen((const char *)content));
        }
        xmlFree(content);
    }
    text = NULL;
    if (read) {
        xmlDocDumpMemory(read, &text, &size);
    }
    if (text) {
        digest = hooked_digest(digest, text, (size_t)size);
    }
    xmlFree(text);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(read);
    xmlFreeDoc(made);
    return digest;
}

#ifdef ISO_CODES
/* A file of others, read, copied node by node, changed and written. */
static uint64_t rewrite_file(const char *path)
{
    xmlChar *text = NULL;
    int size = 0, words = 0;
    xmlDocPtr const read = xmlReadFile(path, NULL, XML_PARSE_NONET);
    hooked_must(read != NULL, path, NULL);
    xmlDocPtr const copy = xmlCopyDoc(read, 1);
    xmlXPathContextPtr const context = xmlXPathNewContext(copy);
    xmlXPathObjectPtr const found =
        xmlXPathEvalExpression(BAD_CAST "//*[contains(@name, 'an')]", context);
    hooked_must(found && found->nodesetval, "found", NULL);
    for (; words < found->nodesetval->nodeNr; words++) {
        xmlSetProp(found->nodesetval->nodeTab[words], BAD_CAST "found",
                   BAD_CAST "with an");
    }
    hooked_must(words > 100, "enough", NULL);
    xmlDocDumpFormatMemory(copy, &text, &size, 1);
    const uint64_t digest = hooked_digest(HOOKED_DIGEST, text, (size_t)size);
    xmlFree(text);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(copy);
    xmlFreeDoc(read);
    return digest;
}
#endif

static uint64_t work(void)
{
    static const char broken[] =
        "<!DOCTYPE a [<!ENTITY e 'some text'>]><a>&e;<b c='d'></a>";
    xmlSetGenericErrorFunc(NULL, be_silent);
    uint64_t digest = round_trip(5000);
#ifdef ISO_CODES
    digest += rewrite_file(ISO_CODES);
#endif
    xmlDocPtr const recovered = xmlReadMemory(broken, sizeof(broken) - 1, "broken.xml",
                                              NULL, XML_PARSE_RECOVER | XML_PARSE_NOENT);
    hooked_must(recovered != NULL, "recovered", NULL);
    xmlChar *const content = xmlNodeGetContent(xmlDocGetRootElement(recovered));
    digest = hooked_digest(digest, content, strlen((const char *)content));
    xmlFree(content);
    xmlFreeDoc(recovered);
    return digest;
}

static uint64_t install_late(void)
{
    hm_error err;
    xmlInitParser();
    const hm_status status = hm_libxml2_install(memory, &err);
    hooked_must(hm_libxml2_verify(NULL, NULL) == status, "verify says otherwise", NULL);
    hooked_must(work() == stock, "libxml2 goes on without us", NULL);
    return (uint64_t)-status;
}

static void free_theirs(void *block)
{
    free(block);
}

static uint64_t install_over(void)
{
    const hm_site *first;
    hm_error err;
    hooked_must(set_functions(free_theirs, malloc, malloc, realloc, strdup) == 0, "set",
                NULL);
    const hm_status status = hm_libxml2_install(memory, &err);
    hm_bridge_symbol symbols[] = {{"xmlGcMemSetup", (uintptr_t)&xmlGcMemSetup},
                                  {"xmlGcMemGet", (uintptr_t)&xmlGcMemGet},
                                  {"free", (uintptr_t) & (free)},
                                  {NULL, 0}};
    const hm_bridge_opts opts = {.size = sizeof(opts),
                                 .m = memory,
                                 .lookup = hm_bridge_linked,
                                 .lookup_context = symbols,
                                 .flags = HM_BRIDGE_REPLACE};
    xmlChar *const before = xmlStrdup(BAD_CAST "theirs");
    hooked_must(hm_libxml2_bridge.install(&opts, &err) == HM_OK, "replace", &err);
    hooked_must(hm_libxml2_verify(&first, &err) == HM_OK && !first, "verify", &err);
    if (memory->flags & HM_MALLOC_DEBUG) {
        /* One that checks sees what is not its own. */
        xmlFree(before);
        hooked_must(hm_libxml2_verify(NULL, &err) == HM_E_STARTED, "foreign block", &err);
    }
    set_functions(free_theirs, malloc, malloc, realloc, strdup);
    hooked_must(hm_libxml2_verify(NULL, &err) != HM_OK, "taken since", &err);
    return (uint64_t)-status;
}

static void libxml2__hook_is_live(void **state)
{
    static const struct {
        const char *label;
        size_t size;
        int atomic;
    } cases[] = {{"libxml2:block", 10, 0}, {"libxml2:text", 20, 1}};
    const hm_site *first = NULL;
    hm_block block;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *const made =
            cases[i].atomic ? xmlMallocAtomic(cases[i].size) : xmlMalloc(cases[i].size);
        CHECK_ROW(cases[i].label, hm_owns(memory, made) != 0);
        if (memory->flags & HM_MALLOC_DEBUG) {
            CHECK_ROW(cases[i].label, hm_describe(memory, made, &block) == HM_OK);
            CHECK_ROW(cases[i].label, strcmp(block.site->file, cases[i].label) == 0);
        }
        xmlFree(made);
    }
    assert_int_equal(hm_libxml2_verify(&first, NULL), HM_OK);
    assert_string_equal(first->file, "libxml2:block");
    hooked_check_twice(&hm_libxml2_bridge, hooked_finds_nothing);
}

static void libxml2__edges(void **state)
{
    volatile size_t too_much = SIZE_MAX;
    (void)state;
    assert_null(xmlMemStrdup(NULL));
    char *text = xmlMemStrdup("text");
    assert_string_equal(text, "text");
    text = xmlRealloc(text, 1000);
    assert_string_equal(text, "text");
    xmlFree(text);
    text = xmlRealloc(NULL, 10);
    assert_non_null(text);
    xmlFree(text);
    xmlFree(NULL);
    assert_null(xmlMalloc(too_much));
    hooked_check_findings(memory);
}

static void libxml2__late_is_told(void **state)
{
    (void)state;
    assert_int_equal(late, (uint64_t)-HM_E_STARTED);
    assert_int_equal(occupied, (uint64_t)-HM_E_NOT_OWNED);
}

static void libxml2__works_as_stock(void **state)
{
    (void)state;
    assert_int_equal(work(), stock);
    hooked_check_used(memory, 10000);
    hooked_check_findings(memory);
}

/* Without XPath, which in libxml2 2.9 follows NULL where an allocation failed. */
static int survive(void *context)
{
    xmlChar *text = NULL;
    int size = 0;
    xmlDocPtr const made = make_document(3);
    (void)context;
    if (made) {
        xmlDocDumpMemory(made, &text, &size);
    }
    if (text) {
        xmlFreeDoc(xmlReadMemory((const char *)text, size, "made.xml", NULL,
                                 XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
    }
    xmlFree(text);
    xmlFreeDoc(made);
    xmlResetLastError();
    return 0;
}

/* After the count of what is left: libxml2 2.9 loses a few blocks of its own where an allocation fails. */
static void libxml2__every_allocation_fails(void **state)
{
    (void)state;
    survive(
        NULL); /* what it does once is not for failing: it goes on without what it missed */
    hooked_sweep(survive, NULL, 50);
    assert_int_equal(work(), stock);
    hooked_check_findings(memory);
}

static void libxml2__cleanup_leaves_nothing(void **state)
{
    (void)state;
    xmlCleanupParser();
    assert_int_equal(hooked_live(memory), 0);
    assert_int_equal(hm_libxml2_verify(NULL, NULL), HM_OK);
}

static void *find_symbol(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "xmlGcMemSetup") == 0 ? (void *)(uintptr_t)&xmlGcMemSetup : NULL;
}

static void libxml2__before_install(void **state)
{
    (void)state;
    hooked_check_before(&hm_libxml2_bridge, find_symbol);
}

static int install(void **state)
{
    hm_error err;
    (void)state;
    return hm_libxml2_install(memory, &err) == HM_OK ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest before[] = {cmocka_unit_test(libxml2__before_install)};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(libxml2__hook_is_live),
        cmocka_unit_test(libxml2__edges),
        cmocka_unit_test(libxml2__late_is_told),
        cmocka_unit_test(libxml2__works_as_stock),
        cmocka_unit_test(libxml2__cleanup_leaves_nothing),
        cmocka_unit_test(libxml2__every_allocation_fails),
    };
    hooked_open(argc, argv);
    memory = hooked_malloc("libxml2");
    stock = hooked_in_copy(work);
    late = hooked_in_copy(install_late);
    occupied = hooked_in_copy(install_over);
    const int failed = cmocka_run_group_tests(before, NULL, NULL) +
                       cmocka_run_group_tests(tests, install, NULL);
    hm_malloc_release(memory);
    hm_host_release(process.host);
    return failed;
}
